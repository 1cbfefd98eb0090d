import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { freePort } from '../support/ports.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** `paifang up` as a person runs it: a process, its output, its signals. */
class Installation {
  output = '';
  private child: ChildProcess | undefined;
  private constructor(
    readonly dataDir: string,
    readonly ports: Record<string, number>,
  ) {}

  static async create(): Promise<Installation> {
    const names = [
      'PAIFANG_GATEWAY_PORT',
      'PAIFANG_ADMIN_PORT',
      'PAIFANG_ADS_PORT',
      'PAIFANG_ENVOY_ADMIN_PORT',
      'PAIFANG_EDGE_CONFIG_PORT',
      'PAIFANG_EDGE_TOOL_PORT',
      'PAIFANG_DEMO_PORT',
    ];
    const ports: Record<string, number> = {};
    for (const name of names) ports[name] = await freePort();
    return new Installation(tmpDir(), ports);
  }

  get env(): NodeJS.ProcessEnv {
    const ports = Object.fromEntries(Object.entries(this.ports).map(([name, port]) => [name, String(port)]));
    return {
      ...process.env,
      ...ports,
      PAIFANG_DATA_DIR: this.dataDir,
      PAIFANG_SERVER: `http://127.0.0.1:${this.ports.PAIFANG_ADMIN_PORT}`,
      PAIFANG_ENVOY_CONCURRENCY: '1',
    };
  }

  get gateway(): string {
    return `http://127.0.0.1:${this.ports.PAIFANG_GATEWAY_PORT}`;
  }

  spawn(): ChildProcess {
    this.output = '';
    const child = spawn(process.execPath, [join(root, 'dist/main.js'), 'up'], {
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.on('data', (chunk) => {
      this.output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      this.output += chunk;
    });
    this.child = child;
    return child;
  }

  async start(): Promise<ChildProcess> {
    const child = this.spawn();
    await until(() => this.output.includes('Ctrl-C stops everything.') || child.exitCode !== null, {
      within: 120_000,
      what: 'the ready message, or the end of the process',
    });
    expect(child.exitCode, this.output).toBeNull();
    return child;
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.child as ChildProcess;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const gone = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill(signal);
    return gone;
  }

  /** Runs a line the summary printed, as a shell would, with `npx paifang` from this checkout. */
  run(line: string): Promise<string> {
    const command = line.trim().replace(/^npx paifang/, `${process.execPath} ${join(root, 'bin/paifang.mjs')}`);
    return new Promise((resolve, reject) => {
      execFile('/bin/sh', ['-c', command], { env: this.env, timeout: 20_000 }, (error, stdout, stderr) => {
        if (error && typeof error.code !== 'number') reject(error);
        else resolve(stdout + stderr);
      });
    });
  }

  printed(part: string): string {
    const line = this.output.split('\n').find((text) => text.includes(part));
    if (!line) throw new Error(`nothing printed holds ${part}:\n${this.output}`);
    return line;
  }

  /** Pids of the processes registered as children, with the process that is really there. */
  children(): number[] {
    const runDir = join(this.dataDir, 'run');
    if (!existsSync(runDir)) return [];
    return readdirSync(runDir)
      .filter((name) => name.endsWith('.json'))
      .map((name) => (JSON.parse(readFileSync(join(runDir, name), 'utf8')) as { pid: number }).pid);
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe('paifang up', async () => {
  const installation = await Installation.create();
  let child: ChildProcess | undefined;
  afterAll(async () => {
    if (child && child.exitCode === null && child.signalCode === null) await installation.end('SIGTERM');
    for (const pid of installation.children()) if (alive(pid)) process.kill(pid, 'SIGKILL');
  });

  it('starts everything, and each printed request does what is said of it', async () => {
    child = await installation.start();
    const signed = await installation.run(installation.printed('--ak demo-app-key'));
    expect(signed).toContain('HTTP/1.1 200');
    expect(signed.toLowerCase()).toContain('x-gateway-result-code: 1000');
    expect(signed).toContain('Hello from the backend behind Paifang.');
    const mock = await installation.run(installation.printed('/weather'));
    expect(mock.toLowerCase()).toContain('x-gateway-result-code: 1100');
    expect(mock).toContain('Hangzhou');
    const lines = installation.output
      .split('\n')
      .filter((line) => line.includes('curl -i') && line.includes('/orders/42'));
    const unsigned = await installation.run(lines.find((line) => !line.includes('--ak')) as string);
    expect(unsigned).toContain('HTTP/1.1 400');
    expect(unsigned).toContain('"2100"');
    await until(
      async () => {
        const logged = await installation.run('npx paifang logs');
        return ['1000', '1100', '2100'].every((code) => logged.includes(code));
      },
      { within: 20_000, what: 'all three requests in the log' },
    );
  }, 180_000);

  it('keeps the output of its processes within bounds while they run', async () => {
    const log = join(installation.dataDir, 'log/edge.log');
    const line = `${'x'.repeat(1023)}\n`;
    appendFileSync(log, line.repeat(17 << 10));
    await until(() => existsSync(`${log}.1`), { within: 20_000, what: 'the file put aside' });
    expect(statSync(`${log}.1`).size).toBeGreaterThan(17 << 20);
    // The edge goes on in the file of that name.
    const tool = `http://127.0.0.1:${installation.ports.PAIFANG_EDGE_TOOL_PORT}/tool/setLogLevel?level=INFO`;
    expect((await fetch(tool, { method: 'POST' })).status).toBe(200);
    await until(() => readFileSync(log, 'utf8').includes('log level changed'), { what: 'its next line' });
    expect(statSync(log).size).toBeLessThan(1 << 20);
  }, 40_000);

  it('stops in order on Ctrl-C and leaves no process', async () => {
    const pids = installation.children();
    expect(pids.length).toBeGreaterThanOrEqual(3);
    expect(await installation.end('SIGINT')).toBe(0);
    expect(installation.output).toContain('Stopped.');
    expect(pids.filter(alive)).toEqual([]);
  }, 60_000);

  it('keeps the data over a second start', async () => {
    child = await installation.start();
    expect(installation.output).toContain('admin token   in ');
    expect(await installation.run('npx paifang logs')).toContain('2100');
    expect(await installation.run(installation.printed('/weather'))).toContain('Hangzhou');
  }, 180_000);

  it('starts again after kill -9 with nothing lost and no orphan in the way', async () => {
    const before = installation.children();
    await installation.end('SIGKILL');
    child = await installation.start();
    const after = installation.children();
    expect(before.filter((pid) => !after.includes(pid) && alive(pid))).toEqual([]);
    const signed = await installation.run(installation.printed('--ak demo-app-key'));
    expect(signed).toContain('Hello from the backend behind Paifang.');
  }, 180_000);

  it('says that it runs already', async () => {
    const second = spawn(process.execPath, [join(root, 'dist/main.js'), 'up'], { env: installation.env });
    let said = '';
    second.stderr.on('data', (chunk) => {
      said += chunk;
    });
    expect(await new Promise((resolve) => second.once('exit', resolve))).toBe(1);
    expect(said).toContain('already runs');
    expect(said).toContain('PAIFANG_DATA_DIR');
    expect(await installation.end('SIGTERM')).toBe(0);
  }, 60_000);

  it('names each port that is taken, and the option that changes it', async () => {
    const taken = await Promise.all(
      ['PAIFANG_GATEWAY_PORT', 'PAIFANG_ADS_PORT'].map((name) => listenOn(installation.ports[name] as number)),
    );
    try {
      const refused = installation.spawn();
      expect(await new Promise((resolve) => refused.once('exit', resolve))).toBe(1);
      for (const name of ['PAIFANG_GATEWAY_PORT', 'PAIFANG_ADS_PORT']) {
        expect(installation.output).toContain(String(installation.ports[name]));
        expect(installation.output).toContain(name);
      }
    } finally {
      for (const server of taken) server.close();
    }
  }, 60_000);

  it('tells every wrong setting at once', async () => {
    const env = { ...process.env, PAIFANG_ADMIN_PORT: 'eighty', PAIFANG_LOG_LEVEL: 'loud', PAIFANG_PORT: '1' };
    const wrong = spawn(process.execPath, [join(root, 'dist/main.js'), 'up'], { env });
    let said = '';
    wrong.stderr.on('data', (chunk) => {
      said += chunk;
    });
    expect(await new Promise((resolve) => wrong.once('exit', resolve))).toBe(2);
    for (const name of ['PAIFANG_ADMIN_PORT', 'PAIFANG_LOG_LEVEL', 'PAIFANG_PORT']) expect(said).toContain(name);
  }, 30_000);
});

function listenOn(port: number): Promise<Server> {
  const server = createServer();
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)));
}
