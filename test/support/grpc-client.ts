import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startChild } from './child.js';
import { rootDir } from './envoy.js';
import { tmpDir } from './tmp.js';
import { until } from './until.js';

/** Where a program calls to. */
export interface Target {
  readonly target: string;
  readonly deadlineMs?: number;
  /** Options of the channel. */
  readonly options?: Record<string, string>;
}

/**
 * A program of a user: calls `/test.Who/Am` of each of its targets over and over, one call every few milliseconds, and writes
 * what came of each: `<target> ok <name>`, or `<target> failed <code> <text>`.
 */
const PROGRAM = `
import { Client, credentials, status } from '@grpc/grpc-js';
import { register } from '@grpc/grpc-js-xds';
register();
const raw = (bytes) => bytes;
JSON.parse(process.argv[1]).forEach(async ({ target, deadlineMs = 10_000, options = {} }, i) => {
  const client = new Client(target, credentials.createInsecure(), options);
  const call = () =>
    new Promise((resolve) => {
      const deadline = Date.now() + deadlineMs;
      client.makeUnaryRequest('/test.Who/Am', raw, raw, Buffer.alloc(0), { deadline }, (error, answer) =>
        resolve(error ? 'failed ' + status[error.code] + ' ' + JSON.stringify(error.details) : 'ok ' + answer),
      );
    });
  for (;;) {
    console.log(i + ' ' + (await call()));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
});`;

/** Calls of one target. */
export interface Calls {
  /** Waits until only these answer, each of them. */
  answeredBy(names: readonly string[], why: string): Promise<void>;
  /** Failed calls so far, as they were told. */
  failures(): string[];
  count(): number;
}

/** How many calls in a row must be answered as expected: enough that each of a few servers has had one. */
const IN_A_ROW = 15;

/**
 * Starts a process with a gRPC client that is its own xDS client; ended with the test.
 *
 * @param bootstrap what GRPC_XDS_BOOTSTRAP leads to.
 * @returns its calls by target.
 */
export function grpcClient(bootstrap: object, targets: readonly Target[]): (target: string) => Calls {
  const file = join(tmpDir(), 'xds.json');
  writeFileSync(file, JSON.stringify(bootstrap));
  const args = ['--input-type=module', '-e', PROGRAM, JSON.stringify(targets)];
  const env = { ...process.env, GRPC_XDS_BOOTSTRAP: file };
  const child = startChild(process.execPath, args, { cwd: rootDir(), env });
  let ended = false;
  void child.exited.then(() => {
    ended = true;
  });
  const told = (i: number) => {
    const mark = `${i} `;
    const lines = child.output().split('\n').slice(0, -1);
    return lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(mark.length));
  };
  return (target) => {
    const i = targets.findIndex((one) => one.target === target);
    return {
      count: () => told(i).length,
      failures: () => told(i).filter((line) => !line.startsWith('ok ')),
      async answeredBy(names, why) {
        const wanted = names.map((name) => `ok ${name}`).sort();
        const from = told(i).length;
        await until(
          () => {
            if (ended) throw new Error(child.output().slice(-2_000));
            const lines = told(i).slice(from);
            return lines.length >= IN_A_ROW && [...new Set(lines.slice(-IN_A_ROW))].sort().join() === wanted.join();
          },
          { within: 40_000, what: `${names.join(' and ')} to answer ${target}: ${why}` },
        ).catch((error: Error) => {
          throw new Error(`${error.message}\n${told(i).slice(-IN_A_ROW).join('\n')}`);
        });
      },
    };
  };
}
