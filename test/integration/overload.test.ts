import { type ClientHttp2Session, connect } from 'node:http2';
import { describe, expect, test } from 'vitest';
import { onCleanup } from '../support/cleanup.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { groupIr, mock, routeIr } from '../support/ir.js';
import { until } from '../support/until.js';

// An Envoy whose memory runs out, by the bootstrap the product makes.

const HOST = 'api.example.com';
const MIB = 1024 * 1024;

const gatewayWith = (maxHeapBytes: number): Promise<TestGateway> => {
  const policy = { name: '00000000000000aa' };
  const guarded = routeIr('/guarded', mock('{}'), { policy, checkedBodyBytes: MIB });
  return startGateway({ groups: [groupIr([HOST], [guarded, routeIr('/open', mock('{}'))])] }, { maxHeapBytes });
};

describe('memory', () => {
  test('that is used up: 9504 in status, headers, body and log', async () => {
    const gateway = await gatewayWith(MIB);
    const refused = () => gateway.ask('/open', { headers: { host: HOST } });
    const answer = await until(
      async () => {
        const next = await refused();
        return next.status === 503 && next;
      },
      { what: 'Envoy to notice' },
    );
    expect(answer.headers).toMatchObject({ 'x-gateway-result-code': '9504', 'x-gateway-memo': 'GatewayOverloaded' });
    expect(JSON.parse(answer.body)).toMatchObject({ code: '9504' });
    const line = await until(async () => (await gateway.lines(1)).find(({ response_code }) => response_code === 503), {
      what: 'its log line',
    });
    expect(line).toMatchObject({ result_code: '9504', response_code_details: 'overload' });
  });

  test('cannot be filled with bodies that never end: the streams that hold most are cut off', async () => {
    const limit = 64 * MIB;
    const gateway = await gatewayWith(limit);
    const session = await http2(gateway.port);
    const body = Buffer.alloc(MIB - 1, 'x');
    let cutOff = 0;
    for (let begun = 0; begun < 300; begun++) {
      const stream = session.request({ ':method': 'POST', ':path': '/guarded', ':authority': HOST });
      stream.on('error', () => {}).on('close', () => cutOff++);
      stream.write(body);
      expect(await allocated(gateway)).toBeLessThan(2 * limit);
    }
    await until(() => cutOff > 0, { what: 'streams to be cut off' });
    session.destroy();
    await until(async () => (await gateway.ask('/open', { headers: { host: HOST } })).status === 200, {
      what: 'others to be served',
    });
  });
});

/** Bytes Envoy has in use. */
async function allocated({ envoy }: TestGateway): Promise<number> {
  return Number((JSON.parse(await envoy.admin('/memory')) as { allocated: string }).allocated);
}

async function http2(port: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 500 });
  onCleanup(() => session.destroy());
  session.on('error', () => {});
  await new Promise((resolve) => session.once('connect', resolve));
  return session;
}
