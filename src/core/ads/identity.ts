/** What a proof allows whoever holds it to be. */
export interface Grant {
  /** `<workspace>/<fleet>`. */
  readonly fleet: string;
  /** node.id of an Envoy, whose edge is meant too; left out: any node of the fleet. */
  readonly node?: string;
}

/** With what a node proves who it is. */
export type Proof =
  /** A client certificate that the CA of the server vouches for. Without grants it names no fleet, and proves nothing here. */
  | {
      readonly kind: 'certificate';
      /** Upper-case hexadecimal. */
      readonly serial: string;
      readonly expiresAtMs: number;
      readonly grants: readonly Grant[];
    }
  /** A token that was made for one fleet or node. */
  | { readonly kind: 'token'; readonly expiresAtMs: number; readonly grants: readonly Grant[] }
  /** The token all edges share; good for every fleet. */
  | { readonly kind: 'shared-token' };

/** Who a node says that it is, in its first request or with what it sends. */
export interface Claim {
  readonly fleet: string;
  readonly node: string;
  /** Of an edge: the node it says it stands beside. */
  readonly beside?: string;
}

/** node.id of the edge beside an Envoy. */
export const edgeIdOf = (node: string): string => `${node}-edge`;

/** Longest URI that is looked at (SPIFFE-ID §2.3). */
const LONGEST_URI = 2048;
const NODE_URI = /^spiffe:\/\/([A-Za-z0-9._-]{1,255})\/fleet\/([^/?#]+)\/([^/?#]+)(?:\/node\/([^/?#]+))?$/;
/** An entry of the text into which Node.js writes subject alternative names; values with odd characters are JSON strings. */
const SAN_ENTRY = /([A-Za-z0-9 ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;
const MOST_TOLD = 3;
const LONGEST_TOLD = 120;

/**
 * What one URI allows: `spiffe://<trust domain>/fleet/<workspace>/<fleet>` any node of the fleet, with `/node/<node id>`
 * that node alone. What is not a letter, a digit or `._-` is percent-encoded. Undefined for every other URI, and for those of
 * another trust domain when one is given.
 */
export function grantOf(uri: string, trustDomain?: string): Grant | undefined {
  const match = uri.length > LONGEST_URI ? null : NODE_URI.exec(uri);
  if (!match) return undefined;
  const [, domain, ...segments] = match;
  if (trustDomain !== undefined && domain?.toLowerCase() !== trustDomain.toLowerCase()) return undefined;
  const [workspace, fleet, node] = segments.map((segment) => segment && decoded(segment));
  if (!workspace || !fleet || workspace.includes('/') || fleet.includes('/')) return undefined;
  if (segments[2] === undefined) return { fleet: `${workspace}/${fleet}` };
  return node ? { fleet: `${workspace}/${fleet}`, node } : undefined;
}

/**
 * What the subject alternative names of a certificate allow, as Node.js writes them
 * (https://nodejs.org/api/tls.html#certificate-object). Nothing when the text cannot be read to its end.
 */
export function grantsOf(subjectAltName: string, trustDomain?: string): Grant[] {
  const grants: Grant[] = [];
  const entry = new RegExp(SAN_ENTRY);
  while (entry.lastIndex < subjectAltName.length) {
    const [, type, value = ''] = entry.exec(subjectAltName) ?? [];
    if (type === undefined) return [];
    const uri = type === 'URI' ? unquoted(value) : undefined;
    const grant = uri === undefined ? undefined : grantOf(uri, trustDomain);
    if (grant) grants.push(grant);
  }
  return grants;
}

/** Whether the proof shows that its holder belongs to a fleet. */
export function isIdentity(proof: Proof): boolean {
  return proof.kind === 'shared-token' || proof.grants.length > 0;
}

/** Whether one of the grants covers the claim. An edge is covered by the grant for its Envoy, under the one name it may have. */
export function covers(grants: readonly Grant[], { fleet, node, beside }: Claim): boolean {
  return grants.some((grant) => {
    if (grant.fleet !== fleet) return false;
    if (grant.node === undefined) return true;
    return beside === undefined ? node === grant.node : beside === grant.node && node === edgeIdOf(grant.node);
  });
}

/**
 * Why a node with these proofs cannot be what it claims: what the proof allows, what was claimed, what to do. Undefined when
 * it can. Every proof that names fleets must cover the claim. Tells nothing that the node did not say itself.
 */
export function denial(proofs: readonly Proof[], claim: Claim): string | undefined {
  for (const proof of proofs) {
    if (proof.kind === 'shared-token' || proof.grants.length === 0 || covers(proof.grants, claim)) continue;
    const holder =
      proof.kind === 'certificate' ? `The client certificate with serial ${proof.serial}` : 'The token presented';
    const remedy =
      proof.kind === 'certificate'
        ? `give it a certificate with the URI ${nodeUri('<trust domain>', claim)}`
        : 'make a token for it with "paifang node-token"';
    const beside = claim.beside === undefined ? '' : ` beside node ${told(claim.beside)}`;
    const claimed = `node ${told(claim.node)}${beside} of fleet ${told(claim.fleet)}`;
    return `${holder} is for ${listed(proof.grants)}; the peer says that it is ${claimed}. Set node.cluster and node.id to what it is for, or ${remedy}.`;
  }
  return undefined;
}

/** The URI that allows the node of the claim, or the node an edge stands beside. */
export function nodeUri(trustDomain: string, { fleet, node, beside }: Claim): string {
  const segments = [...fleet.slice(0, LONGEST_TOLD).split('/'), 'node', (beside ?? node).slice(0, LONGEST_TOLD)];
  return `spiffe://${trustDomain}/fleet/${segments.map((segment) => encodeURIComponent(segment.toWellFormed())).join('/')}`;
}

function listed(grants: readonly Grant[]): string {
  const names = grants.slice(0, MOST_TOLD).map(({ fleet, node }) => {
    return node === undefined ? `any node of fleet ${told(fleet)}` : `node ${told(node)} of fleet ${told(fleet)}`;
  });
  const more = grants.length - names.length;
  return `${names.join(' and ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** A name as it may stand in a message: quoted, without control characters, of bounded length. */
export function told(name: string): string {
  const text = JSON.stringify(name.slice(0, LONGEST_TOLD));
  return name.length > LONGEST_TOLD ? `${text.slice(0, -1)}…"` : text;
}

function decoded(segment: string): string | undefined {
  try {
    const text = decodeURIComponent(segment);
    return /\p{Cc}/u.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

function unquoted(value: string): string | undefined {
  if (!value.startsWith('"')) return value;
  try {
    return JSON.parse(value) as string;
  } catch {
    return undefined;
  }
}
