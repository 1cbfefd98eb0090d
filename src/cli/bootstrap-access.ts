import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { ControllerAccess } from '../core/xds/controller-access.js';
import { usage } from './exit.js';
import { note } from './terminal.js';

export interface AccessOptions {
  readonly controllerCa?: string;
  readonly controllerName?: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly tokenFile?: string;
  readonly sdsDir: string;
  readonly quiet?: boolean;
}

/** What `paifang bootstrap --help` says of TLS and identity. */
export const ACCESS_HELP = `
Example: the same over TLS, the node proving who it is by its certificate:
  paifang bootstrap --node gw-1 --fleet public --ads controller:9876 \\
    --controller-ca tls/ca.pem --certificate tls/gw-1.pem --key tls/gw-1.key > envoy.yaml
Or by a token of its own (paifang node-token), where the port asks for no client certificate:
  paifang bootstrap --node gw-1 --fleet public --ads controller:9876 \\
    --controller-ca tls/ca.pem --token-file tls/gw-1.token > envoy.yaml
Neither envoy.yaml nor the files in sds/, which are written beside it, hold a secret: they name the files that do. Envoy watches
these: to renew one, write another file and rename it to the old name ("mv gw-1.pem.new gw-1.pem"); a file that is written over
is not noticed. No restart is needed. docs/guides/security.md tells how to make the certificates.`;

/** Adds the options by which an Envoy proves who it is. */
export function withAccess(command: Command): Command {
  return command
    .option('--controller-ca <file>', "CA of the controllers' certificates, PEM: xDS then goes over TLS")
    .option('--controller-name <name>', 'name that their certificates must bear (default: the host of --ads)')
    .option('--certificate <file>', 'certificate by which the node proves who it is, PEM')
    .option('--key <file>', 'private key of that certificate, PEM')
    .option('--token-file <file>', 'file with a token by which the node proves who it is')
    .option(
      '--sds-dir <directory>',
      "where the files that name those above are written; like them as Envoy's working directory sees it",
      'sds',
    );
}

/** What the options ask for; nothing when they ask for plain text without a token. @throws usage fault. */
export function accessOf(options: AccessOptions, host: string): ControllerAccess | undefined {
  const { controllerCa: ca, controllerName, certificate, key, tokenFile, sdsDir } = options;
  if ((certificate === undefined) !== (key === undefined)) throw usage('--certificate and --key go together.');
  if (ca === undefined && (certificate ?? controllerName) !== undefined)
    throw usage(
      '--certificate and --controller-name need --controller-ca.',
      'It is the CA that signed the certificate of the controllers.',
    );
  if (ca === undefined && tokenFile === undefined) return undefined;
  return {
    descriptions: sdsDir,
    serverName: controllerName ?? host,
    ca,
    certificate: certificate !== undefined && key !== undefined ? { chain: certificate, key } : undefined,
    tokenFile,
  };
}

/** Writes what the bootstrap refers to, below the working directory. */
export async function writeDescriptions(access: ControllerAccess): Promise<void> {
  const { secretDescriptions } = await import('../core/xds/controller-access.js');
  mkdirSync(access.descriptions, { recursive: true });
  for (const [name, content] of secretDescriptions(access)) {
    const file = join(access.descriptions, name);
    // Renamed, so that an Envoy that runs notices.
    writeFileSync(`${file}.new`, `${JSON.stringify(content, null, 2)}\n`);
    renameSync(`${file}.new`, file);
    note(`wrote ${file}`);
  }
  if (access.ca === undefined) note('The token goes over the network in plain text: --controller-ca turns on TLS.');
}
