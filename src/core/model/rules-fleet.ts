import { pointerSegment } from '../diagnostic.js';
import { type Report, reportFault } from './fault.js';
import type { FleetSpec } from './fleet.js';
import { isReservedHeader, responseHeaderFault } from './header.js';
import { canonicalIp, ipVersion } from './host.js';
import { checkPlace } from './rules-endpoint.js';

const ANY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** Listeners do not collide; header names, log path and docs link can be given to Envoy. */
export function checkFleet(spec: FleetSpec, report: Report): void {
  checkListeners(spec.listeners, report);
  checkHeaders(spec.headers ?? {}, report);
  if (spec.locality) checkPlace(spec.locality, '/locality', report);
  for (const [i, name] of (spec.signedHeaders ?? []).entries()) {
    if (name.startsWith('x-pf-') || name === 'authorization') {
      const why =
        name === 'authorization' ? 'carries the signature and always reaches the edge' : 'is removed from requests';
      report('invalid-header-name', `/signedHeaders/${i}`, `"${name}" ${why}.`, 'Leave it out.');
    }
  }
  if (
    spec.accessLogPath !== undefined &&
    !/^(?:[\x20-\x7e]*\/)?(?!\.{0,2}$)[\x20-\x2e\x30-\x7e]+$/.test(spec.accessLogPath)
  ) {
    report(
      'invalid-setting',
      '/accessLogPath',
      `${JSON.stringify(spec.accessLogPath)} is no path of a file.`,
      'Write visible ASCII characters, e.g. access.log; or leave it out.',
    );
  }
  if (spec.docsUrl !== undefined && !/^[\x21-\x7e]*$/.test(spec.docsUrl)) {
    report(
      'invalid-setting',
      '/docsUrl',
      `${JSON.stringify(spec.docsUrl)} is no URL.`,
      'Write visible ASCII characters; the code is put behind it: https://docs.example.com/codes/.',
    );
  }
}

function checkListeners(listeners: FleetSpec['listeners'], report: Report): void {
  const names = new Set<string>();
  const byPort = new Map<number, { name: string; address: string }[]>();
  for (const [i, { name, address = '0.0.0.0', port }] of listeners.entries()) {
    if (names.has(name)) {
      report(
        'duplicate-name',
        `/listeners/${i}/name`,
        `The listener "${name}" is listed twice.`,
        'Give each listener a name of its own.',
      );
    }
    names.add(name);
    if (!ipVersion(address)) {
      report(
        'invalid-listener',
        `/listeners/${i}/address`,
        `${JSON.stringify(address)} is no IP address.`,
        'Write 0.0.0.0 for all addresses, 127.0.0.1 for this machine alone.',
      );
      continue;
    }
    const mine = { name, address: canonicalIp(address) };
    const others = byPort.get(port) ?? [];
    // Envoy listens with SO_REUSEPORT: two sockets on one port would both succeed and share its connections at random.
    const other = others.find(
      (o) => o.address === mine.address || ANY_ADDRESS.has(o.address) || ANY_ADDRESS.has(mine.address),
    );
    if (other) {
      report(
        'listener-conflict',
        `/listeners/${i}/port`,
        `The listeners "${other.name}" and "${name}" both listen on port ${port} (${other.address}, ${mine.address}).`,
        'Choose another port or address.',
      );
    }
    byPort.set(port, [...others, mine]);
  }
}

function checkHeaders(headers: NonNullable<FleetSpec['headers']>, report: Report): void {
  const names = {
    resultCode: 'x-gateway-result-code',
    memo: 'x-gateway-memo',
    requestId: 'x-gateway-request-id',
    ...headers,
  };
  const seen = new Map<string, string>();
  for (const [field, name] of Object.entries(names)) {
    const path = `/headers/${pointerSegment(field)}`;
    if (name === 'content-type' || name.startsWith('x-pf-')) {
      report('invalid-header-name', path, `"${name}" is taken by the gateway.`, 'Choose another name.');
    } else reportFault(report, 'invalid-header-name', path, responseHeaderFault(name));
    const other = seen.get(name);
    if (other)
      report(
        'invalid-header-name',
        path,
        `"${name}" is also the name of ${other}.`,
        'Give each header a name of its own.',
      );
    seen.set(name, field);
  }
  const envoys = Object.entries(headers).filter(([, name]) => isReservedHeader(name) && name.startsWith('x-envoy-'));
  for (const [field, name] of envoys) {
    report(
      'invalid-header-name',
      `/headers/${pointerSegment(field)}`,
      `"${name}" belongs to Envoy.`,
      'Choose a name that does not begin with x-envoy-.',
    );
  }
}
