import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FleetHistory, type Holder, type ResourceChange } from '../../src/core/ads/in-force.js';
import { TYPE } from '../../src/core/ads/resource.js';

const route = (name: string, version: string): ResourceChange => ({ type: TYPE.route, name, version });

/** A node that holds these versions and wants all names, or those named. */
function holder(held: Record<string, string>, wants: (name: string) => boolean = () => true): Holder {
  return { wants: (_, name) => wants(name), acked: (type, name) => held[`${type} ${name}`] };
}
const routes = (held: Record<string, string>) =>
  holder(Object.fromEntries(Object.entries(held).map(([name, version]) => [`${TYPE.route} ${name}`, version])));

describe('what a node has in force', () => {
  it('a release is in force with its own version or a later one of each resource it changed', () => {
    const history = new FleetHistory();
    history.released(1, [route('a', '1'), route('b', '1')]);
    history.released(2, [route('a', '2')]);
    expect(history.lacks(1, routes({ a: '1' }))).toEqual([route('b', '1')]);
    expect(history.lacks(1, routes({ a: '1', b: '1' }))).toEqual([]);
    expect(history.lacks(1, routes({ a: '2', b: '1' }))).toEqual([]);
    expect(history.lacks(2, routes({ a: '1', b: '1' }))).toEqual([route('a', '2')]);
    expect(history.lacks(2, routes({ a: '2' }))).toEqual([]);
  });

  it('a version of before does not stand for a release, though an equal one after it does', () => {
    const history = new FleetHistory();
    history.released(1, [route('a', 'x')]);
    history.released(2, [route('a', 'y')]);
    expect(history.lacks(2, routes({ a: 'x' }))).toHaveLength(1);
    history.released(3, [route('a', 'x')]);
    expect(history.lacks(2, routes({ a: 'x' }))).toEqual([]);
  });

  it('what the node does not want is not lacked', () => {
    const history = new FleetHistory();
    history.released(1, [route('a', '1'), route('b', '1')]);
    expect(
      history.lacks(
        1,
        holder({}, (name) => name === 'b'),
      ),
    ).toEqual([route('b', '1')]);
    expect(history.lacks(7, holder({}))).toEqual([]);
  });

  it('callers see listeners, hosts and Apps go; the rest may stay for as long as it is used', () => {
    const history = new FleetHistory();
    const gone = Object.values(TYPE).map((type) => ({ type, name: 'a', version: '' }));
    history.released(1, gone);
    const all = holder(Object.fromEntries(Object.values(TYPE).map((type) => [`${type} a`, 'old'])));
    expect(history.lacks(1, all).map(({ type }) => type)).toEqual([TYPE.app, TYPE.listener, TYPE.scope]);
    expect(history.lacks(1, holder({}))).toEqual([]);
    // A release whose resource a later one takes away is done with it.
    history.released(2, [route('b', '1')]);
    history.released(3, [route('b', '')]);
    expect(history.lacks(2, routes({ b: 'older' }))).toEqual([]);
  });

  it('a key that changes without a release counts as later than what was released', () => {
    const history = new FleetHistory();
    const app = (version: string) => ({ type: TYPE.app, name: 'a', version });
    history.released(4, [app('1')]);
    history.amended([app('2'), { type: TYPE.app, name: 'other', version: '9' }]);
    expect(history.lacks(4, holder({ [`${TYPE.app} a`]: '2' }))).toEqual([]);
    expect(history.lacks(4, holder({ [`${TYPE.app} other`]: '9' }))).toEqual([app('1')]);
  });

  it('remembers 64 releases and tells which it forgets', () => {
    const history = new FleetHistory();
    const forgotten = Array.from({ length: 70 }, (_, i) => history.released(i + 1, [route('a', String(i))])).flat();
    expect(forgotten).toEqual([1, 2, 3, 4, 5, 6]);
    expect([history.has(6), history.has(7), history.newest]).toEqual([false, true, 70]);
    expect(history.lacks(7, routes({ a: '69' }))).toEqual([]);
    expect(history.lacks(7, routes({ a: '3' }))).toHaveLength(1);
  });
});

/** A script: releases of a few names, and steps in which a node takes, in order, what was published for one name. */
const step = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      release: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('x', 'y', 'z', ''), { minKeys: 1 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ take: fc.constantFrom('a', 'b', 'c'), skip: fc.nat(2) }) },
);

describe('against a node that takes publications in order, and may skip some', () => {
  it('has a release in force at the latest when it has taken it or a later one of each name, and all when it has the newest', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const history = new FleetHistory();
        const published = new Map<string, { release: number; version: string }[]>();
        const taken = new Map<string, number>();
        const content = new Map<number, Record<string, string>>();
        const held = () => {
          const now: Record<string, string> = {};
          for (const [name, index] of taken) {
            const version = published.get(name)?.[index]?.version;
            if (version) now[`${TYPE.scope} ${name}`] = version;
          }
          return holder(now);
        };
        for (const one of steps) {
          if ('release' in one) {
            const number = content.size + 1;
            content.set(number, one.release);
            for (const [name, version] of Object.entries(one.release)) {
              const list = published.get(name) ?? [];
              published.set(name, [...list, { release: number, version }]);
            }
            history.released(
              number,
              Object.entries(one.release).map(([name, version]) => ({ type: TYPE.scope, name, version })),
            );
          } else {
            const last = (published.get(one.take)?.length ?? 0) - 1;
            const next = Math.min((taken.get(one.take) ?? -1) + 1 + one.skip, last);
            if (next >= 0) taken.set(one.take, next);
          }
          for (const [number, names] of content) {
            const past = Object.keys(names).every((name) => {
              const list = published.get(name) ?? [];
              return (list[taken.get(name) ?? -1]?.release ?? 0) >= number;
            });
            const lacks = history.lacks(number, held());
            if (past) expect(lacks).toEqual([]);
            // What it lacks has another version at the node than every one said since.
            for (const { name } of lacks) {
              const since = (published.get(name) ?? []).filter(({ release }) => release >= number);
              expect(since.map(({ version }) => version)).not.toContain(held().acked(TYPE.scope, name) ?? '');
            }
          }
        }
        for (const [name, list] of published) taken.set(name, list.length - 1);
        for (const number of content.keys()) expect(history.lacks(number, held())).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});
