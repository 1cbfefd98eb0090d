import { type Report, reportFault } from './fault.js';
import type { GroupSpec } from './group.js';
import { hostFault } from './host.js';

/** Hosts are well-formed and listed once. */
export function checkGroup(spec: GroupSpec, report: Report): void {
  const seen = new Set<string>();
  for (const [i, host] of spec.hosts.entries()) {
    const fault = hostFault(host);
    if (fault) reportFault(report, 'invalid-host', `/hosts/${i}`, fault);
    else if (seen.has(host)) {
      report('duplicate-host', `/hosts/${i}`, `The host "${host}" is listed twice.`, 'Remove one of them.');
    }
    seen.add(host);
  }
  const fleets = new Set<string>();
  for (const [i, fleet] of (spec.fleets ?? []).entries()) {
    if (fleets.has(fleet)) {
      report('duplicate-name', `/fleets/${i}`, `The fleet "${fleet}" is listed twice.`, 'Remove one of them.');
    }
    fleets.add(fleet);
  }
}
