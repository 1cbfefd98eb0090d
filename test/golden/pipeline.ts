import { stringify } from 'yaml';
import { type Resource, TYPE } from '../../src/core/ads/resource.js';
import { compile } from '../../src/core/compile.js';
import { hasErrors } from '../../src/core/diagnostic.js';
import type { Gateway } from '../../src/core/ir/gateway.js';
import { inDocument, readDefinitions } from '../../src/core/model/document.js';
import { resourceJson } from '../../src/core/xds/resource-json.js';

/** What the compiler makes of a definitions file. */
export interface Compiled {
  /** Text by path: every stage as people read it. */
  readonly files: ReadonlyMap<string, string>;
  /** What fleets serve; none when the definitions have errors. */
  readonly gateways: readonly Gateway[];
}

/** File of each resource type that Envoy is told. */
const XDS_FILES = {
  [TYPE.listener]: 'listeners',
  [TYPE.scope]: 'scopes',
  [TYPE.route]: 'routes',
  [TYPE.cluster]: 'clusters',
  [TYPE.endpoint]: 'endpoints',
} as const;

/** A definitions file through reader and compiler, with the file's release number at 7. */
export function pipeline(input: Uint8Array): Compiled {
  const document = readDefinitions(input, 'yaml');
  const compiled = document.definitions && compile(document.definitions, { release: 7 });
  const diagnostics = [...document.diagnostics, ...inDocument(compiled?.diagnostics ?? [], document)];
  const files = new Map([['diagnostics.yaml', yaml(diagnostics)]]);
  if (!compiled || hasErrors(diagnostics)) return { files, gateways: [] };
  const { compiler } = compiled;
  const fleets = compiler.fleetKeys();
  const gateways = fleets.map((key) => compiler.gateway(key.split('/')[1] as string));
  files.set('gateway.yaml', yaml(gateways));
  const resources = fleets.map((key) => [...compiler.resources(key)]);
  for (const [i, key] of fleets.entries()) {
    for (const [file, text] of xds(resources[i] as Resource[])) {
      files.set(fleets.length === 1 ? `xds/${file}.yaml` : `xds/${key.split('/')[1]}/${file}.yaml`, text);
    }
  }
  const policies = (resources[0] ?? []).filter(({ type }) => type === TYPE.policy);
  if (policies.length > 0) files.set('policy.yaml', yaml(policies.map(resourceJson)));
  return { files, gateways };
}

function* xds(resources: readonly Resource[]): Iterable<[string, string]> {
  for (const [type, file] of Object.entries(XDS_FILES)) {
    const ofType = resources.filter((resource) => resource.type === type);
    // The listener is long and seldom what a case is about: it stands where it differs from that of a plain fleet.
    const shown = type === TYPE.listener ? ofType.filter(({ version }) => !PLAIN.has(version)) : ofType;
    if (shown.length > 0) yield [file, yaml(shown.map(resourceJson))];
  }
}

/** Versions of the listener every case has unless its fleet says otherwise. It is shown by the case of that name. */
const PLAIN = new Set(
  [
    ...compile({ fleets: [{ name: 'edge', listeners: [{ name: 'http', port: 8088 }] }] }).compiler.resources(
      'default/edge',
    ),
  ].map(({ version }) => version),
);

const yaml = (value: unknown): string => stringify(value, { lineWidth: 120, aliasDuplicateObjects: false });
