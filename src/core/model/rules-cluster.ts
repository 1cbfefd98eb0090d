import { X509Certificate } from 'node:crypto';
import type { ClusterSpec } from './cluster.js';
import { type Report, reportFault } from './fault.js';
import { canonicalIp, ipVersion, isDnsName } from './host.js';
import { questionOf } from './question.js';
import { addressFault, checkPlace } from './rules-endpoint.js';

/** Ids of clusters the bootstrap brings begin so. */
const RESERVED_ID = /^paifang_/;

/** Endpoints can be called, are all IP addresses or all DNS names, and are listed once; TLS settings can be loaded. */
export function checkCluster(spec: ClusterSpec, report: Report): void {
  if (spec.id !== undefined && RESERVED_ID.test(spec.id)) {
    report('reserved-id', '/id', `The id "${spec.id}" begins with "paifang_".`, 'Choose another id, or leave it out.');
  }
  checkEndpoints(spec, report);
  checkNames(spec, report);
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

function checkEndpoints({ endpoints, discovery }: ClusterSpec, report: Report): void {
  const names = discovery?.dns.length ?? 0;
  if (endpoints.length === 0 && names === 0) {
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
    if (names > 0 && !version) {
      const message = `"${host}" is a DNS name under endpoints, which Envoy would resolve, while the controller resolves those in discovery.dns.`;
      report('invalid-endpoint', `${path}/host`, message, 'Move it to discovery.dns.');
      continue;
    }
    kind ??= mine;
    if (kind !== mine) {
      report(
        'invalid-endpoint',
        `${path}/host`,
        `"${host}" is ${mine === 'DNS name' ? 'a DNS name' : 'an IP address'}, while the first endpoint is ${kind === 'DNS name' ? 'a DNS name' : 'an IP address'}.`,
        'Use one sort per cluster: IP addresses are delivered by EDS, names are resolved by Envoy. Names in discovery.dns, which the controller resolves, go with IP addresses.',
      );
    }
  }
}

/** Each name can be asked for, is listed once, and says its port unless DNS does. */
function checkNames({ discovery }: ClusterSpec, report: Report): void {
  const seen = new Set<string>();
  for (const [i, { name: given, type, port, weight, ...place }] of (discovery?.dns ?? []).entries()) {
    const path = `/discovery/dns/${i}`;
    const { name } = questionOf({ name: given });
    checkPlace(place, path, report);
    if (ipVersion(name)) {
      report('invalid-endpoint', `${path}/name`, `"${given}" is an IP address.`, 'List it under endpoints.');
    } else if (!isDnsName(name)) {
      const hint = 'Write a whole name such as orders.internal, with the port in the field port.';
      report('invalid-endpoint', `${path}/name`, `${JSON.stringify(given)} is no DNS name.`, hint);
    }
    const told = (field: string) => `SRV records tell the ${field} themselves.`;
    if (type === 'srv') {
      if (port !== undefined)
        report('invalid-endpoint', `${path}/port`, told('port'), 'Leave it out, or take type address.');
      if (weight !== undefined)
        report('invalid-endpoint', `${path}/weight`, told('weight'), 'Leave it out, or take type address.');
    } else if (port === undefined) {
      const hint = 'Give the port, or take type srv where SRV records tell it.';
      report('invalid-endpoint', path, `The name "${given}" has no port.`, hint);
    }
    const key = `${type === 'srv'}\n${name}\n${port}`;
    if (seen.has(key))
      report('invalid-endpoint', path, `The name ${given} is listed twice with one port.`, 'Remove one of them.');
    seen.add(key);
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
