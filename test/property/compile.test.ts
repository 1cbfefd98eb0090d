import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../src/core/ads/resource.js';
import {
  type Change,
  Compiler,
  type Credential,
  compile,
  type StoredObject,
  type Update,
} from '../../src/core/compile.js';
import { hasErrors } from '../../src/core/diagnostic.js';
import type { Definitions, Spec } from '../../src/core/model/definitions.js';
import { KINDS, type Kind, PLURAL } from '../../src/core/model/kind.js';
import { deriveId } from '../../src/core/model/name.js';
import { validateSpec } from '../../src/core/model/validate.js';
import { Secret } from '../../src/core/secret.js';
import * as a from './arbitrary.js';
import { wildDefinitions } from './wild.js';

const WORKSPACE = 'default';
type Step = Omit<Change, 'release'>;

function stored(kind: Kind, spec: Spec, release: number): StoredObject {
  return { kind, name: spec.name, id: spec.id ?? deriveId(WORKSPACE, kind, spec.name), spec, release } as StoredObject;
}

/** Everything a compiler serves, in a form that can be compared. */
function served(compiler: Compiler): Record<string, string[]> {
  return Object.fromEntries(compiler.fleetKeys().map((key) => [key, [...compiler.resources(key)].map(text).sort()]));
}

const PLACES = [
  { region: 'east', zone: '', room: 'e1' },
  { region: 'west', zone: '', room: '' },
];

function text({ type, name, version, bytes, needs = [], at }: Resource): string {
  const elsewhere = PLACES.map((place) => (at ? Buffer.from(at(place).bytes).toString('hex') : '')).join();
  return `${elsewhere} ${type} ${name} ${version} ${Buffer.from(bytes).toString('hex')} ${needs.map((n) => `${n.type} ${n.name}`).join()}`;
}

const credential = (owner: string): fc.Arbitrary<Credential> =>
  fc.record({
    accessKey: fc.oneof(
      { weight: 9, arbitrary: fc.nat(1).map((i) => `ak-${owner}-${i}`) },
      { weight: 1, arbitrary: fc.constant('ak-shared') },
    ),
    secretKey: fc.nat(2).map((i) => new Secret(`secret-${i}`)),
    enabled: fc.boolean(),
  });

const credentials: fc.Arbitrary<NonNullable<Step['credentials']>[number]> = fc
  .oneof(
    a.appName.map((name) => ({ kind: 'app' as const, name })),
    a.clusterName.map((name) => ({ kind: 'cluster' as const, name })),
  )
  .chain((owner) =>
    fc.array(credential(owner.name), { maxLength: 2 }).map((list) => ({ ...owner, credentials: list })),
  );

const registered: fc.Arbitrary<NonNullable<Step['endpoints']>[number]> = fc.record({
  cluster: a.clusterName,
  endpoints: fc.uniqueArray(
    fc.record({
      host: fc.constantFrom('10.0.0.1', '10.0.0.9', '::1'),
      port: fc.constantFrom(80, 81),
      weight: fc.constantFrom(1, 5),
      place: fc.constantFrom({ region: 'east', zone: '', room: 'e1' }, { region: 'west', zone: '', room: 'w1' }),
    }),
    { maxLength: 3, selector: ({ host, port }) => `${host} ${port}` },
  ),
});

const answer: fc.Arbitrary<NonNullable<Step['answers']>[number]> = fc.record({
  type: fc.constantFrom('address', 'srv'),
  name: fc.constantFrom('pods.internal', '_http._tcp.pods.internal'),
  addresses: fc.uniqueArray(
    fc
      .record({ host: fc.constantFrom('10.0.0.1', '10.0.0.7', 'fd00::7') }, { requiredKeys: ['host'] })
      .chain(({ host }) =>
        fc.record(
          {
            host: fc.constant(host),
            port: fc.constantFrom(80, 81),
            weight: fc.constantFrom(1, 33),
            tier: fc.constantFrom(0, 1, 20),
            target: fc.constantFrom('a.internal', 'b.internal'),
          },
          { requiredKeys: ['host'] },
        ),
      ),
    { maxLength: 3, selector: ({ host, port }) => `${host} ${port}` },
  ),
});

/** One edit: of one object, of several at once (moves of hosts, say), removals, or credentials. */
const upsert = (release: number): fc.Arbitrary<StoredObject> =>
  fc.oneof(
    a.fleetName.chain(a.fleet).map((spec) => stored('fleet', spec, release)),
    a.clusterName.chain(a.cluster).map((spec) => stored('cluster', spec, release)),
    a.groupName.chain(a.group).map((spec) => stored('group', spec, release)),
    { weight: 3, arbitrary: a.apiName.chain(a.api).map((spec) => stored('api', spec, release)) },
    a.appName.chain(a.app).map((spec) => stored('app', spec, release)),
  );
const removal = fc.oneof(
  { weight: 4, arbitrary: a.apiName.map((name) => ({ kind: 'api' as const, name })) },
  a.appName.map((name) => ({ kind: 'app' as const, name })),
  a.clusterName.map((name) => ({ kind: 'cluster' as const, name })),
  a.groupName.map((name) => ({ kind: 'group' as const, name })),
  a.fleetName.map((name) => ({ kind: 'fleet' as const, name })),
);
const step = (release: number): fc.Arbitrary<Step> =>
  fc.record({
    upserts: fc.array(upsert(release), { maxLength: 3 }),
    removals: fc.array(removal, { maxLength: 2 }),
    credentials: fc.array(credentials, { maxLength: 1 }),
    endpoints: fc.array(registered, { maxLength: 1 }),
    answers: fc.array(answer, { maxLength: 1 }),
  });

/** Names and versions of everything a compiler serves; a version is the hash of the content. */
function versions(compiler: Compiler): string {
  const line = ({ type, name, version }: Resource) => `${type} ${name} ${version}`;
  const lines = compiler.fleetKeys().flatMap((key) => [key, ...[...compiler.resources(key)].map(line).sort()]);
  return [...lines, JSON.stringify(Object.entries(compiler.groupReleases()).sort())].join('\n');
}

function summary({ diagnostics, fleets, groupReleases, recompiled }: Update): string {
  const deltas = [...fleets].map(([key, { upserts, removals }]) => ({
    key,
    upserts: upserts.map(({ type, name, version, needs }) => ({ type, name, version, needs })),
    removals,
  }));
  return JSON.stringify({ diagnostics, deltas, groupReleases, recompiled });
}

/** What is in force, kept by the test beside the compiler. */
class Ledger {
  readonly objects = new Map<string, StoredObject>();
  readonly credentials = new Map<string, NonNullable<Step['credentials']>[number]>();
  /** Unlike credentials these outlive a cluster that goes out of force: who registered may not know. */
  readonly endpoints = new Map<string, NonNullable<Step['endpoints']>[number]>();

  readonly answers = new Map<string, NonNullable<Step['answers']>[number]>();

  take({ upserts, removals, credentials = [], endpoints = [], answers = [] }: Step): void {
    const kept = new Set(upserts.map((o) => `${o.kind} ${o.name}`));
    for (const { kind, name } of removals) {
      const key = `${kind} ${name}`;
      if (kept.has(key) || !this.objects.delete(key)) continue;
      this.credentials.delete(key);
    }
    for (const object of upserts) this.objects.set(`${object.kind} ${object.name}`, object);
    for (const entry of credentials) this.credentials.set(`${entry.kind} ${entry.name}`, entry);
    for (const entry of endpoints) this.endpoints.set(entry.cluster, entry);
    for (const entry of answers) this.answers.set(`${entry.type} ${entry.name}`, entry);
  }
}

describe('the compiler', () => {
  it('serves after any sequence of edits what a fresh one serves, and its deltas add up to it', () => {
    let accepted = 0;
    let refused = 0;
    const sequences = fc.tuple(
      a.definitions,
      fc.array(fc.nat(), { maxLength: 10 }).chain((list) => fc.tuple(...list.map((_, i) => step(i + 2)))),
    );
    const property = fc.property(sequences, ([base, steps]) => {
      const compiler = new Compiler(WORKSPACE);
      const ledger = new Ledger();
      const tables = new Map<string, Map<string, Resource>>();
      const first: Step = {
        upserts: KINDS.flatMap((kind) => ((base[PLURAL[kind]] ?? []) as Spec[]).map((s) => stored(kind, s, 1))),
        removals: [],
      };
      // The base rarely fits together as a whole; then it comes in object by object, and what does not fit is left out.
      const whole = hasErrors(compiler.check({ release: 1, ...first }));
      const all: [number, Step][] = whole
        ? first.upserts.map((o) => [1, { upserts: [o], removals: [] }])
        : [[1, first]];
      for (const [i, s] of steps.entries()) all.push([i + 2, s]);
      for (const [release, s] of all) {
        const before = versions(compiler);
        const change = { release, ...s };
        const checked = compiler.check(change);
        const tried = compiler.trial(change);
        expect(versions(compiler)).toBe(before);
        // The very change that was tried last is not worked out again; an equal one is.
        const update = compiler.apply(release % 2 === 0 ? change : { ...change });
        expect(JSON.stringify(update.diagnostics)).toBe(JSON.stringify(checked));
        expect(summary(update)).toBe(summary(tried));
        if (hasErrors(update.diagnostics)) {
          refused++;
          expect(versions(compiler)).toBe(before);
          continue;
        }
        accepted++;
        ledger.take(s);
        for (const [key, { upserts, removals }] of update.fleets) {
          const table = tables.get(key) ?? new Map<string, Resource>();
          tables.set(key, table);
          const names = [...upserts, ...removals].map(({ type, name }) => `${type} ${name}`);
          expect(new Set(names).size).toBe(names.length);
          for (const { type, name } of removals) expect(table.delete(`${type} ${name}`)).toBe(true);
          for (const resource of upserts) table.set(`${resource.type} ${resource.name}`, resource);
          if (table.size === 0) tables.delete(key);
        }
      }
      const added = Object.fromEntries(
        [...tables].sort().map(([key, table]) => [key, [...table.values()].map(text).sort()]),
      );
      expect(added).toEqual(served(compiler));
      const fresh = new Compiler(WORKSPACE);
      const load = fresh.apply({
        release: compiler.release,
        upserts: [...ledger.objects.values()].reverse(),
        removals: [],
        credentials: [...ledger.credentials.values()].reverse(),
        endpoints: [...ledger.endpoints.values()].reverse(),
        answers: [...ledger.answers.values()].reverse(),
        groupReleases: compiler.groupReleases(),
      });
      expect(load.diagnostics.filter((d) => d.severity === 'error')).toEqual([]);
      expect(served(fresh)).toEqual(served(compiler));
      expect(fresh.groupReleases()).toEqual(compiler.groupReleases());
      for (const key of fresh.fleetKeys()) {
        const name = key.slice(WORKSPACE.length + 1);
        expect(fresh.gateway(name)).toEqual(compiler.gateway(name));
      }
    });
    fc.assert(property, { numRuns: 200 });
    // The property says little when nearly everything is refused.
    expect(accepted).toBeGreaterThan(refused / 4);
  }, 120_000);

  it('stamps a group with the release of the change that last altered its content, and with no other', () => {
    const property = fc.property(
      a.definitions,
      fc.array(fc.nat(), { maxLength: 8 }).chain((list) => fc.tuple(...list.map((_, i) => step(i + 2)))),
      (base, steps) => {
        const compiler = compile(
          {
            ...base,
            fleets: [{ name: 'fixed', listeners: [{ name: 'l', port: 1 }] }],
            groups: (base.groups ?? []).map(({ name, hosts }) => ({ name, hosts })),
          },
          { workspace: WORKSPACE },
        ).compiler;
        let before = contents(compiler);
        for (const [i, { upserts, ...rest }] of steps.entries()) {
          const release = i + 2;
          // The fleet that is looked at must not change, for its settings are no content of the group.
          const mine = upserts
            .filter((o) => o.kind !== 'fleet')
            .map((o) => (o.kind === 'group' ? stored('group', { name: o.name, hosts: o.spec.hosts }, release) : o));
          const update = compiler.apply({ ...rest, release, upserts: mine });
          const after = contents(compiler);
          for (const [name, { content, release: stamp }] of after) {
            const was = before.get(name);
            expect(stamp).toBe(was?.content === content ? was.release : release);
            expect(name in update.groupReleases).toBe(
              stamp === release && !hasErrors(update.diagnostics) && was?.content !== content,
            );
          }
          before = after;
        }
      },
    );
    fc.assert(property, { numRuns: 60 });
  });

  it('does not mind the order in which objects come', () => {
    const property = fc.property(a.definitions, fc.integer(), (base, seed) => {
      const shuffled: Definitions = { ...base };
      for (const kind of KINDS) {
        const list = (base[PLURAL[kind]] ?? []) as Spec[];
        const turn = list.length === 0 ? 0 : Math.abs(seed) % list.length;
        (shuffled as Record<string, Spec[]>)[PLURAL[kind]] = [...list.slice(turn), ...list.slice(0, turn)].reverse();
      }
      const [one, other] = [compile(base), compile(shuffled)];
      expect(other.diagnostics).toEqual(one.diagnostics);
      expect(served(other.compiler)).toEqual(served(one.compiler));
    });
    fc.assert(property, { numRuns: 100 });
  });

  it('never throws on anything that conforms to the schemas, and loses no fault', () => {
    const property = fc.property(wildDefinitions, (wild) => {
      for (const kind of KINDS) {
        for (const spec of (wild[PLURAL[kind]] ?? []) as Spec[])
          expect([kind, validateSpec(kind, spec)]).toEqual([kind, []]);
      }
      const { compiler, diagnostics } = compile(wild);
      if (hasErrors(diagnostics)) expect(compiler.fleetKeys()).toEqual([]);
      else expect(compiler.fleetKeys()).toHaveLength(new Set((wild.fleets ?? []).map((f) => f.name)).size);
      for (const d of diagnostics) expect([d.message, d.hint].every((t) => t.length > 0 && t.length < 2000)).toBe(true);
    });
    fc.assert(property, { numRuns: 400 });
  });
});

/** Content and stamp of each group the fleet `fixed` serves. */
function contents(compiler: Compiler): Map<string, { content: string; release: number }> {
  if (compiler.fleetKeys().length === 0) return new Map();
  const { groups } = compiler.gateway('fixed');
  return new Map(
    groups.map(({ release, ...content }) => [content.name, { content: JSON.stringify(content), release }]),
  );
}
