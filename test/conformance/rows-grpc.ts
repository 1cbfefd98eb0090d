import { expect } from 'vitest';
import { BY_NAME, TYPE } from '../../src/core/ads/resource.js';
import { BOTH, clusters, made, names, type Row } from './row.js';

const row = (id: string, what: string, run: Row['run']): Row => ({ id, what, variants: BOTH, run });
const orders = `${BY_NAME}orders`;
const own = (text: string) => [TYPE.listener, TYPE.cluster, TYPE.endpoint].map((type) => made(type, orders, text));

/** Beyond the checklist: what gRPC's own xDS clients ask for stands beside what Envoys ask for. */
export const GRPC_ROWS: readonly Row[] = [
  row('G01', 'a wildcard leaves out what is given by name only, at first and when it changes or goes', async (t) => {
    t.publish([...clusters('a'), ...own('1')]);
    const [client, [first]] = await t.subscribed(TYPE.cluster, [], 1);
    expect(first && names(first)).toEqual(['a']);
    t.publish(own('2'));
    t.publish([], [{ type: TYPE.cluster, name: orders }]);
    await t.idle(client);
  }),
  row('G02', 'a name that is asked for is given, followed, taken back and given again', async (t) => {
    t.publish([...clusters('a'), ...own('1')]);
    const [client, [first]] = await t.subscribed(TYPE.listener, [orders], 1);
    expect(first && names(first)).toEqual([orders]);
    t.publish([...clusters('b'), ...own('2')]);
    const second = await client.next(TYPE.listener);
    expect(second.resources.map(({ text }) => text)).toEqual([`${orders} 2`]);
    client.ack(second, [orders]);
    t.publish([], [{ type: TYPE.listener, name: orders }]);
    const gone = await client.next(TYPE.listener);
    expect([names(gone), gone.removed]).toEqual([[], client.variant === 'delta' ? [orders] : []]);
    client.ack(gone, [orders]);
    t.publish(own('3'));
    expect(names(await client.next(TYPE.listener))).toEqual([orders]);
  }),
  row(
    'G03',
    'names asked for one after the other are each answered; state of the world says all of them',
    async (t) => {
      t.publish([...own('1'), made(TYPE.cluster, `${BY_NAME}users`, '1')]);
      const client = t.client();
      client.send({ type: TYPE.cluster, names: [orders] });
      const first = await client.next(TYPE.cluster);
      expect(names(first)).toEqual([orders]);
      client.ack(first, [orders]);
      const users = `${BY_NAME}users`;
      const wanted = client.variant === 'delta' ? [users] : [orders, users];
      client.send({ type: TYPE.cluster, names: wanted });
      expect(names(await client.next(TYPE.cluster))).toEqual(wanted);
    },
  ),
];
