import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { KEEPALIVE } from '../../src/wire/ads-service.js';
import { rootDir } from '../support/envoy.js';
import { envoyPing, NODE_PING_MS } from './keepalive.js';
import { Bench } from './row.js';
import { DELTA_ROWS } from './rows-delta.js';
import { GRPC_ROWS } from './rows-grpc.js';
import { ORDER_ROWS } from './rows-order.js';
import { SOTW_ROWS } from './rows-sotw.js';
import { STREAM_ROWS } from './rows-stream.js';
import type { Variant } from './xds-client.js';

const ROWS = [...STREAM_ROWS, ...SOTW_ROWS, ...DELTA_ROWS, ...ORDER_ROWS, ...GRPC_ROWS].sort((a, b) =>
  a.id.localeCompare(b.id),
);
/** Only ever made smaller. */
const LEFT_AT_MOST = 0;
/** Files with rows that need more than a plain client. */
const ELSEWHERE = [
  'integration/ads-envoy.test.ts',
  'integration/ads-envoy-waits.test.ts',
  'integration/admin-references.test.ts',
  'property/references.test.ts',
  'core/ads-property.test.ts',
];
const ALL = [
  ...GRPC_ROWS.map(({ id }) => id),
  ...Array.from({ length: 99 }, (_, i) => `X${String(i + 1).padStart(2, '0')}`),
];

/** Ids with which test names of a file begin. */
function idsIn(file: string): string[] {
  const source = readFileSync(join(rootDir(), 'test', file), 'utf8');
  return [...source.matchAll(/it\('(X\d\d(?:[, ]+X\d\d)*)/g)].flatMap(([, ids]) => ids?.match(/X\d\d/g) ?? []);
}

const passed = new Map<Variant, number>();
const total = new Map<Variant, number>();

for (const variant of ['delta', 'sotw'] as const) {
  const rows = ROWS.filter((row) => row.variants.includes(variant));
  total.set(variant, rows.length);
  describe(`xDS conformance, ${variant}`, () => {
    for (const row of rows) {
      it(`${row.id} ${row.what}`, async () => {
        await row.run(await Bench.open(variant));
        passed.set(variant, (passed.get(variant) ?? 0) + 1);
      });
    }
  });
}

describe('keepalive', () => {
  // gRFC A8: libraries let no client ping more often than each 10 s. A server of C-core or Go sends GOAWAY
  // too_many_pings to who pings more often than it allows; the controller's server (grpc-js) counts no pings, as row X13 proves.
  it('X13 edges and controllers ping no more often than gRPC asks for, and nothing ends a connection by its age', () => {
    expect(KEEPALIVE['grpc.keepalive_time_ms']).toBeGreaterThanOrEqual(10_000);
    expect(Object.keys(KEEPALIVE).filter((option) => /max_connection|min_recv|ping_strikes/.test(option))).toEqual([]);
  });

  it('X13 Envoys find a controller that is gone within 40 s, and take one that is busy for seconds for alive', () => {
    for (const options of [{}, { failoverSocket: 'xds.sock' }]) {
      const { intervalMs, timeoutMs } = envoyPing(options);
      expect(intervalMs).toBeGreaterThanOrEqual(1_000);
      expect(timeoutMs).toBeGreaterThanOrEqual(3_000);
      expect(intervalMs + timeoutMs).toBeLessThanOrEqual(40_000);
    }
    expect(NODE_PING_MS.every((ms) => ms >= 1_000)).toBe(true);
  });
});

describe('the checklist', () => {
  const left = readFileSync(join(import.meta.dirname, 'left.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => /^(X\d\d) +(.{10,})$/.exec(line)?.[1] ?? line);
  const elsewhere = ELSEWHERE.flatMap(idsIn);

  it('has every row tested or left with a reason, and none both', () => {
    const tested = new Set([...ROWS.map((row) => row.id), ...elsewhere]);
    expect(left.filter((id) => tested.has(id))).toEqual([]);
    expect([...tested, ...left].sort()).toEqual(ALL);
  });

  it('has no more rows left than before', () => {
    expect(left.length).toBeLessThanOrEqual(LEFT_AT_MOST);
  });

  afterAll(() => {
    for (const [variant, rows] of total) console.log(`conformance ${variant}: ${passed.get(variant) ?? 0} / ${rows}`);
    console.log(
      `conformance, proved by a real Envoy, a model or the front door: ${new Set(elsewhere).size}; left: ${left.join(' ') || 'none'}`,
    );
  });
});
