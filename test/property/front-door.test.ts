import { rootCertificates } from 'node:tls';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bootstrap } from '../../src/core/xds/bootstrap.js';
import { testController } from '../support/admin.js';
import { envoyPath, startEnvoy } from '../support/envoy.js';
import { freePort } from '../support/ports.js';
import { testPostgres } from '../support/postgres.js';
import { tmpDir } from '../support/tmp.js';
import { until } from '../support/until.js';
import { wildApi, wildCluster, wildFleet, wildGroup } from './wild.js';

const EACH = 80;
const base = '/api/v1/workspaces/shop';

/** A certificate as people paste it: whole, cut, doubled, with something lost or something else in it. */
const pem = fc
  .tuple(
    fc.constantFrom(...rootCertificates.slice(0, 5)),
    fc.array(
      fc.tuple(fc.nat(3000), fc.constantFrom('cut', 'drop', 'insert', 'double', 'spaces'), fc.string({ maxLength: 8 })),
      { maxLength: 2 },
    ),
  )
  .map(([whole, changes]) =>
    changes.reduce((text, [at, how, what]) => {
      if (how === 'cut') return `${whole}\n${text.slice(0, at % text.length)}`;
      if (how === 'drop') return text.slice(0, at % text.length) + text.slice((at % text.length) + 1);
      if (how === 'insert') return text.slice(0, at % text.length) + what + text.slice(at % text.length);
      return how === 'double' ? `${text}\n${text}` : text.replaceAll('\n', '\n ');
    }, whole),
  );

it('whatever comes through the front door is refused there, or no node refuses it', async () => {
  const [port, adsPort] = [await freePort(), await freePort()];
  const admin = await testController(await (await testPostgres()).database(), {
    canary: envoyPath(),
    ads: { host: '127.0.0.1', port: adsPort },
  });
  await admin.call('POST', '/api/v1/workspaces', { name: 'shop' });
  const listeners = [{ name: 'http', address: '127.0.0.1', port }];
  const put = async (definitions: Record<string, unknown>) => {
    const { status, body } = await admin.call('POST', `${base}/changesets`, { definitions });
    expect([200, 400, 422], JSON.stringify([definitions, body])).toContain(status);
    if (status === 200) expect(body.judgement ?? { verdict: 'accepted' }).toMatchObject({ verdict: 'accepted' });
    return {
      status,
      codes: (body.errors ?? []).map(({ code }: { code: string }) => code) as string[],
      errors: body.errors,
    };
  };
  await put({ fleets: [{ name: 'edge', listeners }] });
  await startEnvoy({
    bootstrapYaml: bootstrap({
      nodeId: 'node-1',
      nodeCluster: 'shop/edge',
      adsAddress: '127.0.0.1',
      adsPort,
      edgeSocket: 'authz.sock',
      adminAddress: '127.0.0.1',
      adminPort: 0,
    }),
    cwd: tmpDir(),
  });
  const inStep = () =>
    until(
      async () => {
        const { streams } = (await admin.call('GET', '/api/v1/status')).body;
        return streams.length === 1 && streams[0].backlog === 0 && streams[0].unanswered === 0;
      },
      { within: 30_000, what: 'the node to be in step' },
    );
  await inStep();

  const seed = Math.floor(Math.random() * 2 ** 31);
  const sample = <T>(arbitrary: fc.Arbitrary<T>): T[] => fc.sample(arbitrary, { seed, numRuns: EACH });
  const answers: Awaited<ReturnType<typeof put>>[] = [];
  const group = (i: number, of: string) => ({ name: `${of}${i}`, hosts: [`${of}${i}.example.com`] });
  const to = (i: number, cluster: string) => ({
    name: `to-${cluster}`,
    group: `c${i}`,
    match: { path: '/' },
    upstream: { kind: 'cluster', cluster },
  });
  const pems = sample(pem);
  for (const [i, spec] of sample(wildCluster).entries()) {
    const clusters = [
      { ...spec, name: `c${i}`, endpoints: spec.endpoints.slice(0, 2) },
      { name: `p${i}`, endpoints: [{ host: '10.255.0.1', port: 1 }], tls: { caPem: pems[i] } },
    ];
    for (const [j, cluster] of clusters.entries()) {
      const name = `${j}-${i}`;
      const apis = [{ ...to(i, cluster.name), group: name }];
      answers.push(await put({ clusters: [cluster], groups: [{ name, hosts: [`c${name}.example.com`] }], apis }));
    }
  }
  await put({ clusters: [{ name: 'backend', endpoints: [{ host: '10.255.0.1', port: 1 }] }] });
  for (const [i, spec] of sample(wildApi).entries()) {
    const led =
      spec.upstream.kind === 'mock'
        ? spec.upstream
        : { ...spec.upstream, kind: 'cluster', cluster: 'backend', clusters: undefined };
    answers.push(
      await put({ groups: [group(i, 'g')], apis: [{ ...spec, name: `a${i}`, group: `g${i}`, upstream: led }] }),
    );
  }
  for (const [i, spec] of sample(wildGroup).entries())
    answers.push(await put({ groups: [{ ...spec, name: `w${i}` }] }));
  for (const spec of sample(wildFleet).slice(0, 40)) {
    // Whether the folder of the log is there, and whose addresses these are, is a matter of the node.
    const accessLogPath = (spec.accessLogPath ?? 'a').replaceAll('/', '_');
    answers.push(await put({ fleets: [{ ...spec, name: 'edge', listeners, accessLogPath }] }));
  }
  await inStep();
  expect((await admin.call('GET', `${base}/quarantine`)).body.items, `seed ${seed}`).toEqual([]);
  expect(
    admin.log.lines.filter((line) => line.includes('a node refuse')),
    `seed ${seed}`,
  ).toEqual([]);
  // Both doors were needed: most of what is refused is refused by the rules, and the rest by Envoy, with object and field.
  const byEnvoy = answers.filter(({ codes }) => codes.includes('envoy-refused'));
  expect(byEnvoy.length, `seed ${seed}`).toBeGreaterThan(0);
  for (const { errors } of byEnvoy)
    expect(errors[0]).toMatchObject({ object: expect.anything(), pointer: expect.stringMatching(/./) });
  expect(answers.filter(({ status }) => status === 200).length, `seed ${seed}`).toBeGreaterThan(EACH / 2);
}, 120_000);
