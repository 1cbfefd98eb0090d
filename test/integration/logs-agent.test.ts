import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseDigestLine } from '../../src/core/accesslog/digest.js';
import { LogAgent, type LogAgentOptions } from '../../src/edge/log/log-agent.js';
import type { Ship, ShipBatch } from '../../src/edge/log/shipper.js';
import { onCleanup } from '../support/cleanup.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';
import { accessLine } from './logs/lines.js';

/** What a collector keeps: bytes by file, in order, each once. It refuses while `away` and forgets to answer when told to. */
class Shelf {
  readonly files = new Map<string, Buffer>();
  readonly batches: ShipBatch[] = [];
  away = false;
  loseAnswers = 0;

  readonly ship: Ship = async (batch) => {
    if (this.away) throw new Error('UNAVAILABLE');
    this.batches.push(batch);
    const have = this.files.get(batch.file) ?? Buffer.alloc(0);
    expect(batch.offset, 'a gap in the file').toBeLessThanOrEqual(have.length);
    const fresh = batch.lines.subarray(have.length - batch.offset);
    this.files.set(batch.file, Buffer.concat([have, fresh]));
    if (this.loseAnswers-- > 0) throw new Error('connection lost');
    return { storedTo: have.length + fresh.length, unparsed: 0 };
  };

  text(): string {
    return Buffer.concat([...this.files.values()]).toString();
  }
}

interface Node {
  readonly dir: string;
  readonly log: string;
  readonly shelf: Shelf;
  readonly troubles: string[];
  start(options?: Partial<LogAgentOptions>): Promise<LogAgent>;
  digest(): string[];
}

function node(): Node {
  const dir = tmpDir();
  const log = join(dir, 'access.log');
  const shelf = new Shelf();
  const troubles: string[] = [];
  return {
    dir,
    log,
    shelf,
    troubles,
    async start(options) {
      const agent = await LogAgent.start({
        accessLog: log,
        checkpoint: join(dir, 'log-checkpoint.json'),
        digest: { path: join(dir, 'mosng-digest.log'), maxBytes: 1 << 20, keep: 3 },
        node: 'node-1',
        cluster: 'shop/main',
        ship: shelf.ship,
        reopenLogs: async () => writeFileSync(log, '', { flag: 'a' }),
        rotation: { maxBytes: 1 << 30, keep: 2, hardMaxBytes: 1 << 30 },
        utcOffsetMinutes: () => 0,
        onTrouble: (message) => troubles.push(message),
        ...options,
      });
      onCleanup(() => agent.close().catch(() => {})); // already closed by most tests
      return agent;
    },
    digest: () =>
      readdirSync(dir)
        .filter((name) => name.startsWith('mosng-digest.log'))
        .sort((a, b) => (a === 'mosng-digest.log' ? 1 : b === 'mosng-digest.log' ? -1 : a < b ? -1 : 1))
        .flatMap((name) => readFileSync(join(dir, name), 'utf8').split('\n').slice(0, -1)),
  };
}

const traceOf = (line: string) => parseDigestLine(line, 0)?.traceId;
const shippedIs = (n: Node, text: string) =>
  until(() => n.shelf.text() === text, { what: `${text.length} bytes shipped` });

describe('the log agent', () => {
  it('digests and ships what is there and what comes, and a partial line only when it is whole', async () => {
    const n = node();
    writeFileSync(n.log, accessLine('1'));
    const agent = await n.start();
    await shippedIs(n, accessLine('1'));
    const second = accessLine('2');
    appendFileSync(n.log, second.slice(0, 50));
    appendFileSync(join(n.dir, 'access.log'), second.slice(50) + accessLine('3').slice(0, 10));
    await shippedIs(n, accessLine('1') + second);
    await until(() => n.digest().length === 2, { what: 'two digest lines' });
    expect(n.digest().map(traceOf)).toEqual(['1', '2']);
    await until(() => agent.stats().behindBytes === 10, { what: 'the partial line to be seen' });
    expect(agent.stats()).toMatchObject({ digestLines: 2, unparsed: 0, lostBytes: 0, shipFailure: null });
    expect(n.shelf.batches.every(({ node, cluster }) => node === 'node-1' && cluster === 'shop/main')).toBe(true);
    await agent.close();
    expect(n.troubles).toEqual([]);
  });

  it('starts before Envoy has written anything', async () => {
    const n = node();
    await n.start();
    writeFileSync(n.log, accessLine('1'));
    await shippedIs(n, accessLine('1'));
    expect(n.troubles).toEqual([]);
  });

  it('goes on where it stopped, and sends nothing again', async () => {
    const n = node();
    writeFileSync(n.log, accessLine('1'));
    const first = await n.start();
    await shippedIs(n, accessLine('1'));
    await first.close();
    appendFileSync(n.log, accessLine('2'));
    const second = await n.start();
    await shippedIs(n, accessLine('1') + accessLine('2'));
    await second.close();
    expect(n.digest().map(traceOf)).toEqual(['1', '2']);
    expect(n.shelf.batches.map(({ offset }) => offset)).toEqual([0, accessLine('1').length]);
  });

  it('reads a renamed file to its end, also what comes after the rename, and then the new one', async () => {
    const n = node();
    writeFileSync(n.log, accessLine('1'));
    const agent = await n.start();
    await shippedIs(n, accessLine('1'));
    renameSync(n.log, `${n.log}.1`);
    appendFileSync(`${n.log}.1`, accessLine('2')); // Envoy has it open still
    writeFileSync(n.log, accessLine('3'));
    await shippedIs(n, ['1', '2', '3'].map((id) => accessLine(id)).join(''));
    expect(n.shelf.files.size).toBe(2);
    await agent.close();
    expect(n.digest().map(traceOf)).toEqual(['1', '2', '3']);
  });

  it('reads what was renamed while it was not running', async () => {
    const n = node();
    writeFileSync(n.log, accessLine('1'));
    await (await n.start()).close();
    appendFileSync(n.log, accessLine('2'));
    renameSync(n.log, `${n.log}.1`);
    writeFileSync(n.log, accessLine('3'));
    await n.start();
    await shippedIs(n, ['1', '2', '3'].map((id) => accessLine(id)).join(''));
  });

  it.each([
    ['shorter', 'a', ['b']],
    ['as long', 'a', ['bbbb', 'cccc', 'dddd']],
  ])('notices that a file was emptied and written anew (%s)', async (_, before, after) => {
    const n = node();
    writeFileSync(n.log, accessLine(before) + accessLine(before));
    const first = await n.start();
    await until(() => n.shelf.batches.length > 0 && n.digest().length === 2, { what: 'the old content' });
    await first.close();
    truncateSync(n.log, 0);
    appendFileSync(n.log, after.map((id) => accessLine(id)).join(''));
    await n.start();
    await until(() => n.shelf.files.size === 2, { what: 'the new content under a name of its own' });
    await until(() => n.digest().length === 2 + after.length, { what: 'digest lines' });
    expect([...n.shelf.files.values()][1]?.toString()).toBe(after.map((id) => accessLine(id)).join(''));
  });

  it('loses nothing while the collector is away, and sends again what was not answered', async () => {
    const n = node();
    n.shelf.away = true;
    const agent = await n.start();
    const lines = Array.from({ length: 3000 }, (_, i) => accessLine(String(i))).join('');
    writeFileSync(n.log, lines);
    await until(() => agent.stats().shipFailure === 'UNAVAILABLE' && n.digest().length === 3000, {
      what: 'a failure, and digest lines all the same',
    });
    expect(agent.stats().behindBytes).toBe(lines.length);
    n.shelf.away = false;
    n.shelf.loseAnswers = 2;
    await shippedIs(n, lines);
    await until(() => agent.stats().behindBytes === 0 && agent.stats().shipFailure === null, { what: 'answers' });
    expect(n.shelf.batches.every(({ lines }) => lines.length <= 1 << 20)).toBe(true);
    expect(n.shelf.batches.length).toBeGreaterThanOrEqual(3);
  });

  it('does not move on an answer that makes no sense', async () => {
    const n = node();
    let answers = 0;
    const agent = await n.start({ ship: async () => ({ storedTo: answers++ === 0 ? 0 : Number.NaN, unparsed: 0 }) });
    writeFileSync(n.log, accessLine('1'));
    await until(() => answers > 1, { what: 'another try' });
    expect(agent.stats()).toMatchObject({ shippedBytes: 0, behindBytes: accessLine('1').length });
    expect(agent.stats().shipFailure).toContain('the collector answered');
  });

  it('ships lines it cannot read, a line without end, and one larger than a batch, byte for byte', async () => {
    const n = node();
    const huge = `${'x'.repeat((5 << 20) / 2)}\n`;
    const bytes = Buffer.concat([
      Buffer.from('hello\n\n'),
      Buffer.from([0xff, 0x0a]),
      Buffer.from(huge),
      Buffer.from(accessLine('1')),
    ]);
    writeFileSync(n.log, bytes);
    const agent = await n.start();
    await until(() => n.shelf.files.size === 1 && [...n.shelf.files.values()][0]?.equals(bytes), { what: 'all bytes' });
    await until(() => agent.stats().digestLines === 1, { what: 'the good line' });
    expect(agent.stats().unparsed).toBe(6); // hello, empty, no UTF-8, and the huge one in three pieces
    expect(n.digest().map(traceOf)).toEqual(['1']);
  });

  it('rotates Envoy’s log, asks it to reopen until it has, and removes what is shipped', async () => {
    const n = node();
    let refusals = 2;
    const agent = await n.start({
      rotation: { maxBytes: 500, keep: 1, hardMaxBytes: 1 << 30 },
      reopenLogs: async () => {
        if (refusals-- > 0) throw new Error('Envoy is away');
        writeFileSync(n.log, '', { flag: 'a' });
      },
    });
    writeFileSync(n.log, accessLine('1'));
    await until(() => existsSync(`${n.log}.00000001`) && existsSync(n.log) && refusals < 0, { what: 'a rotation' });
    expect(n.troubles.filter((t) => t.includes('Envoy is away'))).toHaveLength(1);
    appendFileSync(`${n.log}.00000001`, accessLine('late'));
    writeFileSync(n.log, accessLine('2'));
    await until(() => existsSync(`${n.log}.00000002`), { what: 'the next rotation' });
    await shippedIs(n, ['1', 'late', '2'].map((id) => accessLine(id)).join(''));
    await agent.close();
    expect(n.digest().map(traceOf)).toEqual(['1', 'late', '2']);
    expect(agent.stats().lostBytes).toBe(0);
  });

  it('removes unshipped lines only at the hard limit, and counts them', async () => {
    const n = node();
    n.shelf.away = true;
    const size = accessLine('1').length;
    writeFileSync(`${n.log}.1`, accessLine('1') + accessLine('2'));
    writeFileSync(`${n.log}.2`, accessLine('3'));
    writeFileSync(n.log, accessLine('4'));
    const agent = await n.start({ rotation: { maxBytes: 1 << 30, keep: 0, hardMaxBytes: size } });
    await until(() => !existsSync(`${n.log}.1`), { what: 'the oldest to go' });
    await until(() => agent.stats().lostLines === 2, { what: 'the loss to be counted' });
    expect(agent.stats().lostBytes).toBe(2 * size);
    expect(n.troubles.join()).toContain('2 lines were removed at the hard limit');
    n.shelf.away = false;
    await shippedIs(n, accessLine('3') + accessLine('4'));
    await until(() => n.digest().length === 4, { what: 'all digest lines' });
    expect(agent.stats().lostBytes).toBe(2 * size);
  });

  it('keeps within its bounds while no digest can be written, and writes it when it can', async () => {
    const n = node();
    const folder = join(n.dir, 'digests');
    mkdirSync(folder);
    n.shelf.away = true;
    const size = accessLine('1').length;
    const agent = await n.start({
      digest: { path: join(folder, 'digest.log'), maxBytes: 1 << 20, keep: 3 },
      rotation: { maxBytes: 2 * size, keep: 0, hardMaxBytes: size },
    });
    rmSync(folder, { recursive: true });
    writeFileSync(`${n.log}.1`, accessLine('1') + accessLine('2'));
    writeFileSync(n.log, accessLine('3') + accessLine('4'));
    await until(() => agent.stats().lostLines >= 2, { what: 'the oldest to go' });
    await until(() => existsSync(`${n.log}.00000001`) || agent.stats().lostLines === 4, { what: 'a rotation' });
    expect(n.troubles.join()).toContain('ENOENT');
    mkdirSync(folder);
    appendFileSync(n.log, accessLine('5'));
    await until(() => existsSync(join(folder, 'digest.log')) && agent.stats().digestLines > 0, { what: 'the digest' });
    await until(() => readFileSync(join(folder, 'digest.log'), 'utf8').includes('5'), { what: 'the newest line' });
  });

  it('cuts off digest lines that no checkpoint vouches for, and writes them again', async () => {
    const n = node();
    writeFileSync(n.log, accessLine('1'));
    await (await n.start()).close();
    appendFileSync(join(n.dir, 'mosng-digest.log'), 'half of a line that a killed process wr');
    appendFileSync(n.log, accessLine('2'));
    await (await n.start()).close();
    expect(n.digest().map(traceOf)).toEqual(['1', '2']);
  });

  it('rotates the digest and keeps the newest', async () => {
    const n = node();
    const digest = { path: join(n.dir, 'mosng-digest.log'), maxBytes: 1000, keep: 2 };
    const agent = await n.start({ digest });
    for (let i = 0; i < 5; i++) {
      const lines = Array.from({ length: 10 }, (_, k) => accessLine(`${i}-${k}`)).join('');
      appendFileSync(n.log, lines);
      await until(() => agent.stats().digestLines === (i + 1) * 10, { what: `round ${i}` });
    }
    await agent.close();
    const names = readdirSync(n.dir).filter((name) => name.startsWith('mosng-digest.log.'));
    expect(names.length).toBeLessThanOrEqual(2);
    const kept = n.digest().map(traceOf);
    expect(new Set(kept).size).toBe(kept.length);
    expect(kept.at(-1)).toBe('4-9');
  });

  it('goes on when someone moves the digest away or removes it', async () => {
    const n = node();
    const agent = await n.start();
    writeFileSync(n.log, accessLine('1'));
    await until(() => n.digest().length === 1, { what: 'a digest line' });
    renameSync(join(n.dir, 'mosng-digest.log'), join(n.dir, 'mosng-digest.log.old'));
    appendFileSync(n.log, accessLine('2'));
    await until(() => n.digest().length === 2, { what: 'another' });
    rmSync(join(n.dir, 'mosng-digest.log'));
    appendFileSync(n.log, accessLine('3'));
    await until(() => existsSync(join(n.dir, 'mosng-digest.log')) && n.digest().length === 2, { what: 'a new file' });
    await agent.close();
    expect(n.digest().map(traceOf).sort()).toEqual(['1', '3']);
  });

  it.each(['', '{', '[]', '{"version":2}', '{"version":1,"digest":null,"files":{"x":{"digested":-1}}}'])(
    'sets a damaged checkpoint aside and says so: %j',
    async (text) => {
      const n = node();
      writeFileSync(join(n.dir, 'log-checkpoint.json'), text);
      writeFileSync(n.log, accessLine('1'));
      await n.start();
      await shippedIs(n, accessLine('1'));
      expect(n.troubles.join()).toContain('checkpoint was damaged');
      expect(readFileSync(join(n.dir, 'log-checkpoint.json.damaged'), 'utf8')).toBe(text);
    },
  );
});
