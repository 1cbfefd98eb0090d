import { type Diagnostic, diagnostic } from '../diagnostic.js';
import { Registration, RegistrationList } from './endpoint.js';
import type { Fault, Report } from './fault.js';
import { canonicalIp, ipVersion, isDnsName } from './host.js';
import { schemaOf, validate } from './validate.js';

const UNSPECIFIED: ReadonlySet<string> = new Set(['0.0.0.0', '::', '255.255.255.255']);

/** What is wrong with `host` as the place of an endpoint: an IP address without brackets or a DNS name. */
export function addressFault(host: string): Fault | undefined {
  const version = ipVersion(host);
  if (!version && !isDnsName(host.replace(/\.$/, ''))) {
    const bare = /^\[(.*)\]$/.exec(host)?.[1] ?? '';
    const hint = ipVersion(bare)
      ? `Write ${bare}, without brackets.`
      : /:\d+$/.test(host)
        ? 'Put the port into the field port.'
        : 'Write an IP address such as 10.0.0.1 or a name such as orders.internal.';
    return { message: `${JSON.stringify(host)} is neither an IP address nor a DNS name.`, hint };
  }
  if (!version || !UNSPECIFIED.has(canonicalIp(host))) return undefined;
  return {
    message: `"${host}" is an address that nothing can be sent to.`,
    hint: 'Write the address of the backend, 127.0.0.1 for this machine.',
  };
}

/** A room says nothing without the region it is in. */
export function checkPlace(
  place: { region?: string; zone?: string; room?: string },
  path: string,
  report: Report,
): void {
  for (const part of ['zone', 'room'] as const) {
    if (place[part] === undefined || place.region !== undefined) continue;
    report(
      'invalid-setting',
      `${path}/${part}`,
      `The ${part} "${place[part]}" is given without its region.`,
      'Give the region too: rooms and zones are told apart within it.',
    );
  }
}

const ONE = schemaOf(Registration);
const MANY = schemaOf(RegistrationList);

/** Every fault of the registration of one endpoint; empty: `value` is a {@link Registration}. Pure; never throws. */
export function registrationFaults(value: unknown): Diagnostic[] {
  const found = validate(ONE, value);
  checkRegistration(value, '', reportTo(found));
  return found;
}

/** Every fault of a whole list; empty: `value` is a {@link RegistrationList}. Pure; never throws. */
export function registrationListFaults(value: unknown): Diagnostic[] {
  const found = validate(MANY, value);
  const report = reportTo(found);
  const list = isRecord(value) && Array.isArray(value.endpoints) ? value.endpoints : [];
  const [ids, addresses] = [new Set<string>(), new Set<string>()];
  for (const [i, entry] of list.entries()) {
    const path = `/endpoints/${i}`;
    if (!checkRegistration(entry, path, report)) continue;
    const address = addressOf(entry);
    const id = endpointId(entry);
    if (addresses.has(address)) {
      report('invalid-endpoint', path, `The endpoint ${address} is listed twice.`, 'Remove one of them.');
    } else if (ids.has(id)) {
      report('duplicate-id', `${path}/id`, `The id "${id}" is listed twice.`, 'Give each endpoint an id of its own.');
    }
    addresses.add(address);
    ids.add(id);
  }
  return found;
}

/** Id of an endpoint of a list: the one it gives, else its address. */
export function endpointId(endpoint: { readonly id?: string; readonly host: string; readonly port: number }): string {
  return endpoint.id ?? addressOf(endpoint);
}

function addressOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${canonicalIp(host)}:${port}`;
}

/** The rules, as far as the shape allows; returns whether host and port are there to be compared. */
function checkRegistration(
  value: unknown,
  path: string,
  report: Report,
): value is { id?: string; host: string; port: number } {
  if (!isRecord(value)) return false;
  const text = (name: string) => (typeof value[name] === 'string' ? { [name]: value[name] } : {});
  checkPlace({ ...text('region'), ...text('zone'), ...text('room') }, path, report);
  const { host, port } = value;
  if (typeof host !== 'string' || host === '') return false;
  const fault = addressFault(host) ?? (ipVersion(host) ? undefined : nameFault(host));
  if (fault) report('invalid-endpoint', `${path}/host`, fault.message, fault.hint);
  return fault === undefined && typeof port === 'number';
}

function nameFault(host: string): Fault {
  return {
    message: `"${host}" is a DNS name; registered endpoints are IP addresses, which Envoy is told at once.`,
    hint: 'Register the address the name stands for, or list the name in the definition of a cluster of names.',
  };
}

function reportTo(found: Diagnostic[]): Report {
  return (code, path, message, hint) => {
    found.push(diagnostic(code, path, message, hint));
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
