import { type Command, Option } from 'commander';
import { makeBoundToken } from '../core/ads/bound-token.js';
import { workspaceOf } from './admin.js';
import { usage } from './exit.js';
import { action, json, line } from './terminal.js';

interface NodeTokenOptions {
  readonly fleet: string;
  readonly workspace?: string;
  readonly node?: string;
  readonly expires: string;
  readonly json?: boolean;
}

const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
/** Ten years: a token that never ends is one that nobody can take away. */
const LONGEST_MS = 3650 * UNIT_MS.d;

/** `paifang node-token`: a token for one fleet or node. `keyOf` finds the key tokens are made with. */
export function addNodeToken(program: Command, keyOf: () => Promise<Buffer>): void {
  program
    .command('node-token')
    .requiredOption('--fleet <name>', 'fleet the token is for')
    .addOption(
      new Option('-w, --workspace <name>', 'workspace of the fleet (default: "default")').env('PAIFANG_WORKSPACE'),
    )
    .option('--node <id>', 'only for this node and its edge (default: every node of the fleet)')
    .option('--expires <time>', 'how long it is good (90d, 12h, 30m), or an ISO 8601 time', '90d')
    .option('--json', 'JSON, with what it is for and when it ends')
    .summary('make a token by which a node proves who it is')
    .description(
      'Makes a token that is good for one fleet, or one node of it, until it expires, and prints it. Every controller with the same master key takes it; no database is asked.',
    )
    .addHelpText(
      'after',
      `
Needs the master key of the controllers: PAIFANG_MASTER_KEY, or master.key in PAIFANG_DATA_DIR.

Example: a token for one node, in a file that only its edge and Envoy can read:
  umask 077
  paifang node-token --fleet public --node gw-1 --expires 30d > gw-1.token
On the node, the edge reads it (PAIFANG_NODE_TOKEN_FILE), and Envoy by "paifang bootstrap --token-file". Put a new one in its
place before it ends (write another file and rename it): both read it at their next connection.

A token cannot be taken back before it ends; only another master key ends all of them. Make them short-lived.`,
    )
    .action(async (options: NodeTokenOptions) => {
      const key = await keyOf();
      await action(async (asked: NodeTokenOptions) => make(key, asked))(options);
    });
}

function make(key: Buffer, options: NodeTokenOptions): void {
  const { fleet: name, node } = options;
  if (!/^[\p{L}\p{N}][\p{L}\p{N}._-]{0,63}$/u.test(name)) throw usage(`"${name}" cannot be the name of a fleet.`);
  if (node !== undefined && !/^[\x21-\x7e]{1,255}$/.test(node))
    throw usage(`"${node}" cannot be a node id.`, 'Use visible ASCII characters.');
  const fleet = `${workspaceOf(options)}/${name}`;
  const expiresAt = new Date(Math.floor(expiryOf(options.expires, Date.now()) / 1000) * 1000);
  const token = makeBoundToken(key, { fleet, ...(node !== undefined && { node }) }, expiresAt.getTime());
  if (options.json) json({ token, fleet, node: node ?? null, expiresAt: expiresAt.toISOString() });
  else line(token);
}

/** The instant that a length or a time means. */
function expiryOf(text: string, now: number): number {
  const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  const at = count === undefined ? Date.parse(text) : now + Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
  const isTime = count !== undefined || /^\d{4}-\d\d-\d\d/.test(text);
  if (!isTime || Number.isNaN(at))
    throw usage(`--expires: "${text}" is neither a length nor a time.`, 'Write 90d, 12h, 30m or 2027-01-31T00:00:00Z.');
  if (at <= now) throw usage(`--expires: ${text} has passed.`);
  if (at > now + LONGEST_MS) throw usage('--expires: ten years at most.');
  return at;
}
