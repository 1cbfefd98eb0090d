import { describe, expect, it } from 'vitest';
import { Quarantine } from '../../src/core/ads/quarantine.js';
import { type Resource, TYPE } from '../../src/core/ads/resource.js';
import type { Session } from '../../src/core/ads/session.js';
import { DeltaSession } from '../../src/core/ads/session-delta.js';
import { SotwSession } from '../../src/core/ads/session-sotw.js';
import { ResourceTable } from '../../src/core/ads/table.js';
import { made } from './ads-envoy-model.js';

const good = made(TYPE.route, 'r', 'good');
const bad = made(TYPE.route, 'r', 'bad');
const mended = made(TYPE.route, 'r', 'mended');
const badCluster = made(TYPE.cluster, 'c', 'bad');

/** A node that refused `refused`, with what it had before, as it meets the table again. */
function again(table: readonly Resource[], refused: readonly [Resource, Resource?][]) {
  const quarantine = new Quarantine();
  for (const [resource, before] of refused) quarantine.refuse('n', resource, 'no', before, 1);
  const resources = new ResourceTable();
  resources.apply({ upserts: table, removals: [] });
  const options = { table: resources, authorised: false, knownNode: true, now: 0, quarantine: quarantine.at('n') };
  const publish = (session: Session, upsert: Resource) =>
    session.changed(resources.apply({ upserts: [upsert], removals: [] }), 0);
  return { quarantine, publish, delta: () => new DeltaSession(options), sotw: () => new SotwSession(options) };
}

/** What a session says now, as name and version. */
function said(session: Session): string[] {
  const found: string[] = [];
  for (let next = session.next(0); next; next = session.next(0))
    found.push(...next.news.map(({ name, version }) => `${name} ${version}`));
  return found;
}
const as = ({ name, version }: Resource) => `${name} ${version}`;
const request = { type: TYPE.route as string, subscribe: ['r'], unsubscribe: [], nonce: '' };
const nothing = new Map<string, string>();

describe('content a node refused on an earlier stream', () => {
  it('is not sent when the node comes back with what it had; other content is, at once', () => {
    const { publish, delta } = again([bad], [[bad, good]]);
    const session = delta();
    session.request({ ...request, initialVersions: new Map([['r', good.version]]) }, 0);
    expect(said(session)).toEqual([]);
    expect(session.refusals()).toEqual([{ type: TYPE.route, name: 'r', version: bad.version, error: 'no' }]);
    publish(session, mended);
    expect(said(session)).toEqual([as(mended)]);
  });

  it('is not sent when the node asks for other names it has and never had this one', () => {
    const { delta } = again([bad, made(TYPE.route, 's', '1')], [[bad]]);
    const session = delta();
    const versions = new Map([['s', made(TYPE.route, 's', '1').version]]);
    session.request({ ...request, subscribe: ['r', 's'], initialVersions: versions }, 0);
    expect(said(session)).toEqual([]);
  });

  it('is tried once on a node that was started anew; refused again, the last good version is sent', () => {
    const { delta } = again([bad], [[bad, good]]);
    const session = delta();
    session.request({ ...request, initialVersions: nothing }, 0);
    expect(said(session)).toEqual([as(bad)]);
    session.request({ ...request, subscribe: [], initialVersions: nothing, nonce: '1', error: 'still no' }, 0);
    expect(said(session)).toEqual([as(good)]);
    session.request({ ...request, subscribe: [], initialVersions: nothing, nonce: '2' }, 0);
    expect(said(session)).toEqual([]);
  });

  it('is replaced by the last good version in state of the world, where nobody knows what the node holds', () => {
    const { publish, sotw } = again([bad, badCluster], [[bad, good], [badCluster]]);
    const session = sotw();
    session.request({ type: TYPE.route, names: ['r'], nonce: '' }, 0);
    expect(said(session)).toEqual([as(good)]);
    session.request({ type: TYPE.cluster, names: [], nonce: '' }, 0);
    expect(said(session)).toEqual([]);
    publish(session, mended);
    expect(said(session)).toEqual([as(mended)]);
  });
});

describe('the quarantine of a fleet', () => {
  it('remembers since when, by node, and forgets what is accepted or gone', () => {
    const quarantine = new Quarantine();
    expect(quarantine.refuse('n', bad, 'no', good, 1)).toBe(true);
    expect(quarantine.refuse('n', bad, 'no', undefined, 2)).toBe(false);
    quarantine.refuse('m', bad, 'no', undefined, 3);
    expect(quarantine.at('n').get(TYPE.route, 'r')).toMatchObject({ since: 1, good });
    quarantine.accept('n', TYPE.route, 'r', good.version, bad.version);
    expect(quarantine.size).toBe(2);
    quarantine.accept('n', TYPE.route, 'r', mended.version, mended.version);
    expect([...quarantine.all()].map(({ node }) => node)).toEqual(['m']);
    quarantine.removed(TYPE.route, 'r');
    expect(quarantine.size).toBe(0);
  });

  it('is bounded: the oldest is forgotten first', () => {
    const quarantine = new Quarantine();
    for (let i = 0; i < 10_500; i++) quarantine.refuse(`n${i}`, bad, 'no', undefined, i);
    expect(quarantine.size).toBe(10_000);
    expect(quarantine.at('n499').get(TYPE.route, 'r')).toBeUndefined();
    expect(quarantine.at('n500').get(TYPE.route, 'r')).toBeDefined();
  });
});
