import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startChild } from '../support/child.js';
import { closeScope, onCleanup, openScope } from '../support/cleanup.js';
import { envoyPath, rootDir, startEnvoy, validate } from '../support/envoy.js';
import { freePort } from '../support/ports.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';

const admin = { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } };

describe('until', () => {
  it('resolves with what the condition returned at last', async () => {
    let calls = 0;
    expect(await until(() => ++calls === 3 && 'third', { what: 'the third call' })).toBe('third');
  });

  it('says what was awaited and why it is not there', async () => {
    const never = () => {
      throw new Error('connection refused');
    };
    await expect(until(never, { within: 20, what: 'the port to answer' })).rejects.toThrow(
      'waited 20 ms for: the port to answer (last: connection refused)',
    );
  });
});

describe('clean-up', () => {
  it('runs all, last in first out, and then tells what failed', async () => {
    const order: string[] = [];
    openScope();
    onCleanup(() => void order.push('first'));
    onCleanup(() => {
      throw new Error('the second fails');
    });
    onCleanup(() => void order.push('third'));
    await expect(closeScope()).rejects.toThrow('the second fails');
    expect(order).toEqual(['third', 'first']);
  });

  it('removes temporary folders and ends children', async () => {
    openScope();
    const dir = tmpDir();
    writeFileSync(join(dir, 'file'), 'x');
    const child = startChild(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    await closeScope();
    expect(existsSync(dir)).toBe(false);
    expect(() => process.kill(child.pid, 0)).toThrow('ESRCH');
  });

  it.runIf(process.platform === 'linux')('leaves no child behind even when the parent is killed', async () => {
    const script = join(tmpDir(), 'parent.mjs');
    writeFileSync(
      script,
      `import { startChild } from ${JSON.stringify(join(rootDir(), 'test/support/child.ts'))};
       const child = startChild(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1000)']);
       const timer = setInterval(() => { if (child.output()) { console.log(child.pid); clearInterval(timer); } }, 5);
       setInterval(() => {}, 1000);`,
    );
    const hooks = `data:text/javascript,${encodeURIComponent(
      `import { registerHooks } from 'node:module';
       registerHooks({ resolve: (s, c, next) => next(s.startsWith('./') && s.endsWith('.js') ? s.replace(/js$/, 'ts') : s, c) });`,
    )}`;
    const parent = startChild(process.execPath, ['--no-warnings', '--import', hooks, script]);
    const pid = Number(await until(() => parent.output().trim(), { what: "the grandchild's process id" }));
    process.kill(parent.pid, 'SIGKILL');
    await until(() => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '), {
      what: 'the grandchild to be gone',
    });
  });
});

describe('freePort', () => {
  it('gives ports that can be bound, never one twice, none from the ephemeral range', async () => {
    const ports = await Promise.all(Array.from({ length: 20 }, freePort));
    expect(new Set(ports).size).toBe(20);
    expect(Math.max(...ports)).toBeLessThan(32_768);
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(ports[0], '127.0.0.1', resolve);
    });
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('Envoy', () => {
  it('accepts a right bootstrap and names the fault of a wrong one', async () => {
    expect(await validate({ admin })).toMatchObject({ ok: true });
    expect(await validate('admin: { address: { pipe: { path: "" } } }')).toMatchObject({
      ok: false,
      output: expect.stringContaining('Path'),
    });
  });

  it('runs from the pinned or named binary, and stops', async () => {
    const envoy = await startEnvoy({ bootstrapYaml: { admin }, cwd: tmpDir() });
    const { version } = JSON.parse(await envoy.admin('/server_info')) as { version: string };
    const found = JSON.parse(readFileSync(join(rootDir(), 'build/envoy.json'), 'utf8')) as {
      version: string;
      path: string;
    };
    expect(version).toContain(`/${found.version}/`);
    expect(found.path).toBe(envoyPath());
    expect(envoy.adminPort).toBeGreaterThan(0);
    await envoy.stop();
    expect(() => process.kill(envoy.pid, 0)).toThrow('ESRCH');
  });

  it('that cannot start rejects with its own words', async () => {
    await expect(startEnvoy({ bootstrapYaml: { nonsense: 1 }, cwd: tmpDir() })).rejects.toThrow('nonsense');
  });
});
