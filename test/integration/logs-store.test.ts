import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { LogAgent } from '../../src/edge/log/log-agent.js';
import { LogCollector, ShipmentRefused } from '../../src/logs/collector.js';
import { requests } from '../../src/logs/queries.js';
import { InvalidCursor, type LogStore, type RequestPage } from '../../src/logs/store.js';
import type { EmbeddedLogStore } from '../../src/logs/supervisor.js';
import { onCleanup } from '../support/cleanup.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';
import { embedded, opened } from './logs/embedded.js';
import { accessLine } from './logs/lines.js';

let at: EmbeddedLogStore;
let store: LogStore;

beforeAll(async () => {
  at = await embedded(join(tmpDir(), 'logs'));
  store = await opened(at);
});

const ids = ({ records }: RequestPage) =>
  records.map((r) => (r.kind === 'request' ? r.record.line.request_id : r.line.raw));
/** Of the workspace that the first line names, unless it is told otherwise. */
const batch = (
  lines: string,
  offset = 0,
  file = 'f',
  node = 'node-1',
  cluster = `${JSON.parse(lines.slice(0, lines.indexOf('\n'))).workspace}/main`,
) => ({
  node,
  cluster,
  file,
  offset,
  lines: Buffer.from(lines),
});

const T = 1795354000000;

describe('the log store', () => {
  it('gives back each field of a line as it was, with its meaning', async () => {
    const fields = {
      workspace: 'fields',
      path: '/ü😀?q=\'\\\t"',
      response_code: 504,
      response_flags: 'UF,UT',
      response_code_details: 'response_timeout',
      extra_of_ours: [1],
      ai_log: '{"a":1}',
      duration: 9_007_199_254_740_991,
    };
    await store.append(batch(accessLine('r1', fields), 0, 'fields'));
    const { records } = await store.query({ workspace: 'fields', limit: 10 });
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({
      kind: 'request',
      origin: { node: 'node-1', cluster: 'fields/main', file: 'fields', offset: 0 },
      record: {
        time: 1795354527815,
        code: '6305',
        memo: 'BizGatewayTimeout',
        success: false,
        workspace: 'fields',
        extra: { extra_of_ours: [1] },
        flags: [{ flag: 'UF' }, { flag: 'UT', name: 'UpstreamRequestTimeout' }],
        line: {
          request_id: 'r1',
          path: fields.path,
          duration: fields.duration,
          release: 7,
          trace_id: null,
          ai_log: '{"a":1}',
          bytes_received: 0,
          response_tx_duration: null,
          __time__: '1795354527815',
          response_flags: 'UF,UT',
        },
      },
    });
  });

  it('answers by request id, API, App, group, code, status and time, newest first', async () => {
    const of = (id: string, time: number, fields: object = {}) =>
      accessLine(id, { workspace: 'ask', __time__: String(T + time), ...fields });
    await store.append(
      batch(
        of('q1', 1000) +
          of('q3', 3000, { api_id: 'a2', api_name: 'put-pet', app_id: 'app-2' }) +
          of('q2', 2000, { group_id: 'g2', response_code: 404 }) +
          of('q4', 4000, { response_code: 503, response_flags: 'UH', response_code_details: 'no_healthy_upstream' }),
        0,
        'ask',
      ),
    );
    const ask = async (fields: object) => ids(await store.query({ workspace: 'ask', limit: 10, ...fields }));
    expect(await ask({})).toEqual(['q4', 'q3', 'q2', 'q1']);
    expect(await ask({ requestId: 'q2' })).toEqual(['q2']);
    expect(await ask({ api: 'a2' })).toEqual(['q3']);
    expect(await ask({ api: 'put-pet' })).toEqual(['q3']);
    expect(await ask({ app: 'app-2' })).toEqual(['q3']);
    expect(await ask({ group: 'g2' })).toEqual(['q2']);
    expect(await ask({ code: '6205' })).toEqual(['q2']);
    expect(await ask({ code: '4000' })).toEqual(['q4']);
    expect(await ask({ status: 200 })).toEqual(['q3', 'q1']);
    expect(await ask({ from: T + 2000, to: T + 4000 })).toEqual(['q3', 'q2']);
    expect(await ask({ from: T + 2000, to: T + 4000, app: 'app-1' })).toEqual(['q2']);
    expect(await ask({ workspace: 'another' })).toEqual([]);
  });

  it('pages without repeating or missing one, also among lines of the same time and while new ones come in', async () => {
    const lines = Array.from({ length: 25 }, (_, i) =>
      accessLine(`p${String(i).padStart(2, '0')}`, { workspace: 'page' }),
    );
    await store.append(batch(lines.join(''), 0, 'page'));
    const seen: unknown[] = [];
    let cursor: string | undefined;
    do {
      const page = await store.query({ workspace: 'page', limit: 10, ...(cursor !== undefined && { cursor }) });
      seen.push(...ids(page));
      cursor = page.nextCursor;
      await store.append(
        batch(accessLine('late', { workspace: 'page', __time__: '1795354529999' }), 0, `late-${seen.length}`),
      );
    } while (cursor !== undefined);
    expect(seen).toHaveLength(25);
    expect(new Set(seen).size).toBe(25);
  });

  it('stores a line once, told apart by node, file and offset', async () => {
    const lines = [1, 2, 3, 4].map((i) => accessLine(`once-${i}`, { workspace: 'once' }));
    const [one, two, three, four] = lines as [string, string, string, string];
    const endOf = (...texts: string[]) => Buffer.byteLength(texts.join(''));
    expect(await store.append(batch(one + two, 0, 'once'))).toEqual({
      storedTo: endOf(one, two),
      lines: 2,
      unparsed: 0,
    });
    expect(await store.append(batch(one + two, 0, 'once'))).toEqual({
      storedTo: endOf(one, two),
      lines: 0,
      unparsed: 0,
    });
    expect(await store.append(batch(two + three, endOf(one), 'once'))).toMatchObject({
      storedTo: endOf(one, two, three),
      lines: 1,
    });
    // A replica that has just started asks the store what it has.
    const replica = await opened(at);
    expect(await replica.append(batch(three + four, endOf(one, two), 'once'))).toMatchObject({ lines: 1 });
    expect(await store.append(batch(four, endOf(one, two, three), 'once'))).toMatchObject({ lines: 0 });
    expect(await store.storedTo('once/main', 'node-1', 'once')).toBe(endOf(...lines));
    // The same batch twice at once: an edge that did not wait.
    const twice = batch(accessLine('once-5', { workspace: 'once' }), 0, 'once-more');
    const [a, b] = await Promise.all([store.append(twice), store.append(twice)]);
    expect(a.lines + b.lines).toBe(1);
    expect(await store.counts('once')).toEqual({ lines: 5, unparsed: 0 });
  });

  it('takes a fleet at its word for its own workspace only', async () => {
    // What the lines say is the sender's; what they belong to is what its proof is for.
    const forged = accessLine('forged', { workspace: 'victim' });
    await store.append(batch(forged, 1 << 30, 'same', 'node-1', 'forger/main'));
    expect(await store.counts('victim')).toEqual({ lines: 0, unparsed: 0 });
    expect(ids(await store.query({ workspace: 'forger', limit: 10 }))).toEqual(['forged']);
    // A node and file of the same names in another fleet: its lines are not taken for stored already.
    const own = accessLine('own', { workspace: 'victim' });
    expect(await store.append(batch(own, 0, 'same'))).toMatchObject({ lines: 1, storedTo: Buffer.byteLength(own) });
    expect(ids(await store.query({ workspace: 'victim', limit: 10 }))).toEqual(['own']);
  });

  it('keeps what it cannot parse raw, marked and counted', async () => {
    const bad = ['{"method":"GET"', 'hello', '', '{"path":"/a","path":"/b"}'];
    const bytes = Buffer.concat([
      Buffer.from(`${bad.join('\n')}\n${accessLine('good', { workspace: 'raw' })}`),
      Buffer.from([0xff, 0xfe, 0x0a]),
      Buffer.from('no line feed'),
    ]);
    const appended = await store.append({ node: 'n', cluster: 'raw/main', file: 'raw', offset: 0, lines: bytes });
    expect(appended).toEqual({ storedTo: bytes.length, lines: 7, unparsed: 6 });
    expect(await store.counts('raw')).toEqual({ lines: 7, unparsed: 6 });
    const { records } = await store.query({ workspace: 'raw', unparsed: true, limit: 10 });
    expect(records.map((r) => (r.kind === 'unparsed' ? r.line.raw : r)).reverse()).toEqual([
      ...bad,
      'ÿþ',
      'no line feed',
    ]);
    expect(records.every((r) => r.kind === 'unparsed' && r.line.reason !== '')).toBe(true);
    expect(ids(await store.query({ workspace: 'raw', unparsed: false, limit: 10 }))).toEqual(['good']);
    expect(await store.query({ workspace: 'raw', limit: 10 })).toMatchObject({ records: { length: 7 } });
  });

  it('takes values that a column could refuse', async () => {
    const hostile = [
      accessLine('h1', { workspace: 'hostile', bytes_sent: 1e308, duration: -1.5, path: '\ud800' }),
      accessLine('h2', { workspace: 'hostile', __time__: '99999999999999', start_time: '+999999-01-01T00:00:00Z' }),
      accessLine('h3', { workspace: 'hostile', user_agent: '\0\u0001\u2028', response_code: 2 ** 53 }),
      accessLine('h4', { workspace: 'hostile', __time__: '0' }),
    ];
    expect(await store.append(batch(hostile.join(''), 0, 'hostile'))).toMatchObject({ lines: 4, unparsed: 0 });
    expect(ids(await store.query({ workspace: 'hostile', limit: 10 })).sort()).toEqual(['h1', 'h2', 'h3', 'h4']);
  });

  it('never lets a value into the statement', async () => {
    await store.append(batch(accessLine('safe', { workspace: 'inject' }), 0, 'inject'));
    const evil = [
      "' OR 1=1 --",
      "'; DROP TABLE paifang.requests; --",
      '{limit:UInt32}',
      '\\',
      "\\' OR 1=1",
      '\0',
      '\\N',
      '%',
      "a'||'b",
    ];
    for (const value of evil) {
      for (const name of ['workspace', 'requestId', 'api', 'app', 'group', 'code']) {
        const page = await store.query({ workspace: 'inject', limit: 5, [name]: value });
        expect(page.records, `${name} = ${value}`).toEqual([]);
        const { query, query_params } = requests({ workspace: 'inject', limit: 5, [name]: value }, undefined);
        expect(Object.values(query_params)).toContain(value);
        expect(query).toBe(requests({ workspace: 'w', limit: 5, [name]: 'x' }, undefined).query);
      }
      const cursor = Buffer.from(JSON.stringify([1, value, value, 1])).toString('base64url');
      expect((await store.query({ workspace: 'inject', limit: 5, cursor })).records).toEqual([]);
    }
    expect(ids(await store.query({ workspace: 'inject', limit: 5 }))).toEqual(['safe']);
    // A value is found as it is, not as a pattern or an escape.
    for (const [i, value] of evil.entries()) {
      if (value === '\\N') continue; // the protocol's own word for null, in texts a client never gets to see
      await store.append(batch(accessLine(value, { workspace: 'inject' }), 0, `inject-${i}`));
      expect(ids(await store.query({ workspace: 'inject', requestId: value, limit: 5 })), value).toEqual([value]);
    }
  });

  it.each([
    '',
    'x',
    '!!',
    Buffer.from('[1]').toString('base64url'),
    Buffer.from('["a","b","c","d"]').toString('base64url'),
  ])('refuses the cursor %j', async (cursor) => {
    await expect(store.query({ workspace: 'page', limit: 5, cursor })).rejects.toThrow(InvalidCursor);
  });

  it.each([0, -1, 1.5, 1001, Number.NaN])('refuses the limit %d', async (limit) => {
    await expect(store.query({ workspace: 'page', limit })).rejects.toThrow(RangeError);
  });
});

const shipment = {
  node: 'n',
  cluster: 'shop/main',
  file: 'collect',
  offset: 0n,
  lines: Buffer.from(accessLine('c1')),
};

describe('the collector', () => {
  it('stores and answers how far the file is stored', async () => {
    const collector = new LogCollector(store);
    const length = BigInt(shipment.lines.length);
    expect(await collector.collect(shipment)).toEqual({ storedTo: length, unparsed: 0 });
    expect(await collector.collect({ ...shipment, offset: length, lines: Buffer.from('?\n') })).toEqual({
      storedTo: length + 2n,
      unparsed: 1,
    });
    expect(collector.stats()).toEqual({ lines: 2, unparsed: 1, refused: 0 });
  });

  it.each<[string, object]>([
    ['no node', { node: '' }],
    ['no file', { file: '' }],
    ['a name too long', { file: 'x'.repeat(600) }],
    ['an offset beyond reason', { offset: 2n ** 63n }],
    ['no lines', { lines: Buffer.alloc(0) }],
    ['too many bytes', { lines: Buffer.alloc(3 << 20) }],
  ])('refuses %s for good', async (_, fault) => {
    const refusal = new LogCollector(store).collect({ ...shipment, ...fault });
    await expect(refusal).rejects.toThrow(ShipmentRefused);
    await expect(refusal).rejects.toMatchObject({ status: 'INVALID_ARGUMENT' });
  });
});

describe('while the log store is away', () => {
  it('a shipment is refused for now, the edge keeps its file, and nothing is lost or doubled', async () => {
    const home = tmpDir();
    const first = await embedded(join(home, 'logs'));
    let collector = new LogCollector(await opened(first));
    const log = join(home, 'access.log');
    const agent = await LogAgent.start({
      accessLog: log,
      checkpoint: join(home, 'checkpoint.json'),
      digest: { path: join(home, 'mosng-digest.log'), maxBytes: 1 << 30, keep: 1 },
      node: 'node-1',
      cluster: 'away/main',
      ship: async ({ offset, ...rest }) => {
        const { storedTo, unparsed } = await collector.collect({ ...rest, offset: BigInt(offset) });
        return { storedTo: Number(storedTo), unparsed };
      },
      reopenLogs: async () => {},
      rotation: { maxBytes: 1 << 30, keep: 1, hardMaxBytes: 1 << 30 },
    });
    onCleanup(() => agent.close());
    appendFileSync(log, accessLine('before', { workspace: 'away' }));
    await until(() => collector.stats().lines === 1, { what: 'the first line' });
    await first.close();
    const lines = Array.from({ length: 100 }, (_, i) => accessLine(`away-${i}`, { workspace: 'away' })).join('');
    appendFileSync(log, lines);
    await until(() => agent.stats().shipFailure !== null, { what: 'a refusal' });
    expect(agent.stats().behindBytes).toBe(lines.length);
    await expect(collector.collect({ ...shipment, file: 'other' })).rejects.toMatchObject({ status: 'UNAVAILABLE' });
    const again = await opened(await embedded(join(home, 'logs')));
    collector = new LogCollector(again);
    await until(() => agent.stats().behindBytes === 0, { what: 'the rest' });
    expect(await again.counts('away')).toEqual({ lines: 101, unparsed: 0 });
  });
});
