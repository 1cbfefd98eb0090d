import { X509Certificate } from 'node:crypto';
import type { ClusterSpec } from './cluster.js';
import { type Report, reportFault } from './fault.js';
import { canonicalIp, ipVersion, isDnsName } from './host.js';
import { addressFault, checkPlace } from './rules-endpoint.js';

/** Ids of clusters the bootstrap brings begin so. */
const RESERVED_ID = /^paifang_/;

/** Endpoints can be called, are all IP addresses or all DNS names, and are listed once; TLS settings can be loaded. */
export function checkCluster(spec: ClusterSpec, report: Report): void {
  if (spec.id !== undefined && RESERVED_ID.test(spec.id)) {
    report('reserved-id', '/id', `The id "${spec.id}" begins with "paifang_".`, 'Choose another id, or leave it out.');
  }
  checkEndpoints(spec.endpoints, report);
  if (spec.tls?.sni !== undefined && !isDnsName(spec.tls.sni)) {
    report(
      'invalid-setting',
      '/tls/sni',
      `${JSON.stringify(spec.tls.sni)} is no DNS name.`,
      "SNI is the DNS name the backend's certificate is for (RFC 6066 §3).",
    );
  }
  const pem = spec.tls?.caPem === undefined ? undefined : pemFault(spec.tls.caPem);
  if (pem)
    report(
      'invalid-setting',
      '/tls/caPem',
      pem,
      'Paste whole certificates, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----.',
    );
}

function checkEndpoints(endpoints: ClusterSpec['endpoints'], report: Report): void {
  if (endpoints.length === 0) {
    report(
      'no-endpoint',
      '/endpoints',
      'The cluster has no endpoint; requests to it are answered with 4000.',
      'Add a host and port, or let endpoints register.',
    );
  }
  const seen = new Set<string>();
  let kind: 'IP address' | 'DNS name' | undefined;
  for (const [i, { host, port, ...place }] of endpoints.entries()) {
    const path = `/endpoints/${i}`;
    checkPlace(place, path, report);
    const fault = addressFault(host);
    reportFault(report, 'invalid-endpoint', `${path}/host`, fault);
    const version = ipVersion(host);
    if (fault && !version) continue;
    const canonical = version ? canonicalIp(host) : host.toLowerCase();
    const key = `${canonical}\n${port}`;
    if (seen.has(key)) {
      report(
        'invalid-endpoint',
        path,
        `The endpoint ${host}:${port} is listed twice.`,
        'Remove one of them; for a larger share of traffic give it a weight.',
      );
    }
    seen.add(key);
    const mine = version ? 'IP address' : 'DNS name';
    kind ??= mine;
    if (kind !== mine) {
      report(
        'invalid-endpoint',
        `${path}/host`,
        `"${host}" is ${mine === 'DNS name' ? 'a DNS name' : 'an IP address'}, while the first endpoint is ${kind === 'DNS name' ? 'a DNS name' : 'an IP address'}.`,
        'Use one sort per cluster: IP addresses are delivered by EDS, names are resolved by Envoy. Make two clusters and a weighted upstream.',
      );
    }
  }
}

function pemFault(pem: string): string | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g);
  if (!blocks) return 'It has no PEM certificate.';
  for (const [i, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch {
      return `Certificate ${i + 1} of ${blocks.length} cannot be read.`;
    }
  }
  return undefined;
}
