import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { runChdbServer } from '../../src/logs/chdb-server.js';
import type { LogStore, RequestPage } from '../../src/logs/store.js';
import type { EmbeddedLogStore } from '../../src/logs/supervisor.js';
import { onCleanup } from '../support/cleanup.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';
import { embedded, opened } from './logs/embedded.js';
import { accessLine } from './logs/lines.js';

let dir: string;
let at: EmbeddedLogStore;
let store: LogStore;
const troubles: string[] = [];

beforeAll(async () => {
  dir = join(tmpDir(), 'logs');
  at = await embedded(dir, troubles);
  store = await opened(at);
});

const ids = ({ records }: RequestPage) =>
  records.map((r) => (r.kind === 'request' ? r.record.line.request_id : r.line.raw));

describe('the embedded engine', () => {
  it('answers only who knows the password', async () => {
    const ask = (headers: Record<string, string>) =>
      fetch(`${at.url}/?query=${encodeURIComponent('SELECT 1')}`, { headers });
    expect((await ask({})).status).toBe(401);
    expect((await ask({ 'x-clickhouse-key': 'wrong' })).status).toBe(401);
    const right = await ask({ 'x-clickhouse-key': at.password });
    expect([right.status, await right.text()]).toEqual([200, '1\n']);
    const cmdline = readFileSync(`/proc/${at.pid}/cmdline`, 'utf8') + readFileSync(`/proc/${at.pid}/environ`, 'utf8');
    expect(cmdline).not.toContain(at.password);
  });

  it('tells errors as ClickHouse does', async () => {
    const response = await fetch(at.url, {
      method: 'POST',
      headers: { 'x-clickhouse-key': at.password },
      body: 'SELECT nope',
    });
    expect([response.status, response.headers.get('x-clickhouse-exception-code')]).toEqual([500, '47']);
    expect(await response.text()).toMatch(/^Code: 47\. /);
  });

  it('keeps lines as long as it is told, also when that changes on an existing table', async () => {
    const engine = async () => {
      const body = "SELECT engine_full FROM system.tables WHERE database = 'paifang'";
      return (await fetch(at.url, { method: 'POST', headers: { 'x-clickhouse-key': at.password }, body })).text();
    };
    expect(await engine()).toContain('toIntervalDay(30)');
    await opened(at, { retentionDays: 7 });
    expect(await engine()).toContain('toIntervalDay(7)');
    await expect(opened(at, { retentionDays: 0 })).rejects.toThrow('at least one day');
  });

  it('refuses to listen where others could reach it, and to run without a password', async () => {
    const options = { dir: join(tmpDir(), 'x'), port: 0, password: 'p' };
    await expect(runChdbServer({ ...options, host: '0.0.0.0' })).rejects.toThrow('loopback');
    await expect(runChdbServer({ ...options, host: '127.0.0.1', password: '' })).rejects.toThrow('password');
  });

  it('keeps its directory for itself: another one does not start, and does not end the one in use', {
    timeout: 60_000,
  }, async () => {
    const before = at.pid;
    const said: string[] = [];
    await expect(embedded(dir, said)).rejects.toThrow(/lock|process/i);
    expect(said.length).toBeGreaterThan(4);
    expect(at.pid).toBe(before);
    await expect(store.counts('nobody')).resolves.toEqual({ lines: 0, unparsed: 0 });
  });

  it('ends with the process that started it, and one that hangs is ended by the next', {
    timeout: 60_000,
  }, async () => {
    const orphanDir = join(tmpDir(), 'logs');
    const child = join(import.meta.dirname, 'logs/chdb-child.mjs');
    // Its input stays open when the shell that started it is killed, so it does not learn that it is alone.
    const script = `(echo secret; exec sleep 300) | '${process.execPath}' '${child}' '${orphanDir}' 0`;
    const shell = spawn('sh', ['-c', script], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
    const group = shell.pid as number;
    onCleanup(() => {
      try {
        process.kill(-group, 'SIGKILL');
      } catch {
        // all gone already
      }
    });
    await once(shell.stdout, 'data');
    const { pid } = JSON.parse(readFileSync(join(orphanDir, 'server.pid'), 'utf8'));
    shell.kill('SIGKILL');
    const said: string[] = [];
    const next = await embedded(orphanDir, said);
    expect(said.join('\n')).toContain(`left over from an earlier run (${pid})`);
    const mine = next.pid as number;
    await next.close();
    expect(() => process.kill(mine, 0)).toThrow('ESRCH');
  });

  it('has every acknowledged line, once, after it was killed in the middle', { timeout: 120_000 }, async () => {
    const file = 'killed';
    const lines = Array.from({ length: 10_000 }, (_, i) =>
      accessLine(`k${i}`, { workspace: 'killed', __time__: String(1795354000000 + i) }),
    );
    let offset = 0;
    let kills = 0;
    for (let from = 0; from < lines.length; from += 500) {
      const text = lines.slice(from, from + 500).join('');
      const send = () =>
        store.append({ node: 'node-1', cluster: 'killed/main', file, offset, lines: Buffer.from(text) });
      if (from % 2000 === 1500) {
        // Killed while the batch is on its way: it may be in, or not, and nobody was told.
        const before = at.pid as number;
        const sent = send().catch(() => undefined);
        process.kill(before, 'SIGKILL');
        kills++;
        await sent;
        await until(() => at.pid !== undefined && at.pid !== before, { what: 'another process' });
      }
      await until(async () => (await send()).storedTo === offset + Buffer.byteLength(text), {
        within: 30_000,
        what: 'the batch to be stored',
      });
      if (from % 1000 === 0) expect((await send()).lines).toBe(0); // sent again after a lost answer
      offset += Buffer.byteLength(text);
    }
    expect(kills).toBe(5);
    expect(troubles.length).toBeGreaterThanOrEqual(kills);
    expect(await store.counts('killed')).toEqual({ lines: 10_000, unparsed: 0 });
    expect(await store.storedTo('killed/main', 'node-1', file)).toBe(offset);
    expect(ids(await store.query({ workspace: 'killed', requestId: 'k7777', limit: 5 }))).toEqual(['k7777']);
    const slice = await store.query({ workspace: 'killed', from: 1795354005000, to: 1795354005003, limit: 5 });
    expect(ids(slice)).toEqual(['k5002', 'k5001', 'k5000']);
  });
});
