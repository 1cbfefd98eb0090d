import { type Command, Option } from 'commander';
import { withOutput, workspaceOf } from './admin.js';
import { ACCESS_HELP, type AccessOptions, accessOf, withAccess, writeDescriptions } from './bootstrap-access.js';
import { GRPC_HELP, printGrpc } from './bootstrap-grpc.js';
import { type LimitOptions, limitsOf, withLimits } from './bootstrap-limits.js';
import { yamlOf } from './dump.js';
import { usage } from './exit.js';
import { action, json } from './terminal.js';

interface BootstrapOptions extends AccessOptions, LimitOptions {
  readonly node: string;
  readonly fleet: string;
  readonly workspace?: string;
  readonly ads: string;
  readonly edgeSocket: string;
  readonly failoverSocket: string | false;
  readonly adminAddress: string;
  readonly adminPort: string;
  readonly region?: string;
  readonly zone?: string;
  readonly room?: string;
  readonly dnsServer?: readonly string[];
  readonly output: 'yaml' | 'json';
  readonly json?: boolean;
  readonly grpc?: boolean;
}

/** `paifang bootstrap`: the file an Envoy starts with; asks no server. */
export function addBootstrap(program: Command): void {
  withLimits(withAccess(withOutput(program.command('bootstrap'))))
    .requiredOption('--node <id>', 'node.id, different for every Envoy; appears in logs and in the list of nodes')
    .requiredOption('--fleet <name>', 'fleet the Envoy belongs to')
    .addOption(
      new Option('-w, --workspace <name>', 'workspace of the fleet (default: "default")').env('PAIFANG_WORKSPACE'),
    )
    .option('--ads <host:port>', 'xDS address of a controller', '127.0.0.1:9876')
    .option('--grpc', 'of a gRPC client that calls clusters without a proxy instead, as JSON')
    .option('--edge-socket <path>', "socket of the edge; relative to Envoy's working directory", 'authz.sock')
    .option(
      '--failover-socket <path>',
      "where the edge serves its last good configuration when no controller answers at Envoy's start",
      'failover.sock',
    )
    .option('--no-failover-socket', 'leave that out: for an edge with PAIFANG_EDGE_LAST_GOOD=false')
    .option('--admin-address <ip>', "address of Envoy's own admin", '127.0.0.1')
    .option('--admin-port <port>', "port of Envoy's own admin", '9901')
    .addOption(
      new Option('--region <name>', 'where the Envoy stands (default: where its fleet says)').env(
        'PAIFANG_NODE_REGION',
      ),
    )
    .addOption(new Option('--zone <name>', 'zone within the region').env('PAIFANG_NODE_ZONE'))
    .addOption(
      new Option(
        '--room <name>',
        'machine room within the region; requests go to endpoints of the same room first',
      ).env('PAIFANG_NODE_ROOM'),
    )
    .option(
      '--dns-server <address...>',
      'DNS servers (ip or ip:port) that the Envoy asks for names it resolves itself (default: those of its machine)',
    )
    .addOption(new Option('-o, --output <format>', 'format').choices(['yaml', 'json']).default('yaml'))
    .summary('print the bootstrap of an Envoy or a gRPC client')
    .description(
      'Prints the file an Envoy starts with: who it is, where its controller is, where its edge is. Everything else it gets from the controller. Needs no server.',
    )
    .addHelpText(
      'after',
      `
Example: a node of its own, in its own directory, where access.log and the socket of the edge are made:
  mkdir -p /var/lib/paifang/node && cd /var/lib/paifang/node
  paifang bootstrap --node gw-1 --fleet public --ads controller:9876 > envoy.yaml
  PAIFANG_NODE=gw-1 PAIFANG_NODE_CLUSTER=default/public PAIFANG_EDGE_DIR=$PWD \\
    PAIFANG_CONTROLLER=controller:9876 paifang edge &
  envoy -c envoy.yaml --file-flush-interval-msec 1000

Envoy writes its log every 10 s unless told otherwise; requests can be asked for after that.
${ACCESS_HELP}
${GRPC_HELP}`,
    )
    .action(action(print));
}

async function print(options: BootstrapOptions): Promise<void> {
  const { bootstrap } = await import('../core/xds/bootstrap.js');
  const ads = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d+)$/.exec(options.ads);
  if (ads === null)
    throw usage(`--ads takes host:port, not "${options.ads}".`, 'An IPv6 address goes in brackets: [::1]:9876.');
  if (!/^[\x21-\x7e]{1,255}$/.test(options.node))
    throw usage(`"${options.node}" cannot be a node id.`, 'Use visible ASCII characters.');
  if (!/^[\p{L}\p{N}][\p{L}\p{N}._-]{0,63}$/u.test(options.fleet))
    throw usage(`"${options.fleet}" cannot be the name of a fleet.`);
  // A variable that is there and empty says nothing.
  const [region, zone, room] = [options.region, options.zone, options.room].map((part) => part || undefined);
  for (const part of [region, zone, room])
    if (part !== undefined && !/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(part))
      throw usage(`"${part}" cannot be the name of a region, zone or room.`);
  if (region === undefined && (zone ?? room) !== undefined)
    throw usage('--zone and --room need --region.', 'Zones and rooms are told apart within their region.');
  const locality = region === undefined ? undefined : { region, zone: zone ?? '', subZone: room ?? '' };
  if (options.grpc) return printGrpc({ ...options, workspace: workspaceOf(options), locality });
  const controllerAccess = accessOf(options, (ads[1] ?? ads[2]) as string);
  const made = bootstrap({
    nodeId: options.node,
    nodeCluster: `${workspaceOf(options)}/${options.fleet}`,
    adsAddress: (ads[1] ?? ads[2]) as string,
    adsPort: port(ads[3] as string, '--ads'),
    edgeSocket: options.edgeSocket,
    ...(options.failoverSocket !== false && { failoverSocket: options.failoverSocket }),
    ...(locality && { locality }),
    ...(controllerAccess && { controllerAccess }),
    ...(options.dnsServer && { dnsServers: options.dnsServer.map(dnsServer) }),
    ...limitsOf(options),
    adminAddress: options.adminAddress,
    adminPort: port(options.adminPort, '--admin-port'),
  });
  if (controllerAccess) await writeDescriptions(controllerAccess);
  if (options.json || options.output === 'json') json(made);
  else process.stdout.write(await yamlOf(made));
}

function port(text: string, option: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 65_535)
    throw usage(`${option}: "${text}" is not a port (1 to 65535).`);
  return value;
}

function dnsServer(text: string): { address: string; port: number } {
  const parts = /^(?:\[([0-9a-fA-F:]+)\](?::(\d+))?|(\d+(?:\.\d+){3})(?::(\d+))?|([0-9a-fA-F:]*:[0-9a-fA-F:]*))$/.exec(
    text,
  );
  if (parts === null)
    throw usage(`--dns-server takes IP addresses, not "${text}".`, '10.0.0.2, 10.0.0.2:5353 or [fd00::2]:5353.');
  const given = parts[2] ?? parts[4];
  return { address: (parts[1] ?? parts[3] ?? parts[5]) as string, port: given ? port(given, '--dns-server') : 53 };
}
