import { describe, expect, it } from 'vitest';
import { TYPE } from '../../src/core/ads/resource.js';
import { HmacKey } from '../../src/core/decision/hmac-key.js';
import { EdgeTables } from '../../src/edge/tables.js';
import type { Signature_Dialect, Signature_Digest } from '../../src/gen/paifang/v1/policy_pb.js';
import { AK, appBytes, deliver, policyBytes } from '../support/edge-envoy.js';

const credential = (accessKey: string, secret = 's') => ({
  accessKey,
  secretKey: Buffer.from(secret),
  enabled: true,
  expiresAt: 0n,
});

describe('the tables of an edge', () => {
  it('take an access key from one App to another, in whichever order the two updates come', () => {
    for (const order of [
      ['a', 'b'],
      ['b', 'a'],
    ]) {
      const tables = new EdgeTables();
      deliver(tables, TYPE.app, {
        a: appBytes({ id: 'a', credentials: [credential('k')] }),
        b: appBytes({ id: 'b', credentials: [] }),
      });
      const after: Record<string, Uint8Array> = {
        a: appBytes({ id: 'a', credentials: [credential('other')] }),
        b: appBytes({ id: 'b', credentials: [credential('k')] }),
      };
      for (const name of order) deliver(tables, TYPE.app, { [name]: after[name] as Uint8Array });
      expect(tables.caller('k')?.app?.id).toBe('b');
      expect(tables.caller('other')?.app?.id).toBe('a');
      deliver(tables, TYPE.app, {}, ['a']);
      expect(tables.caller('other')).toBeUndefined();
      expect(tables.caller('k')?.app?.id).toBe('b');
    }
  });

  it('replace secrets, states and expiry of an App as one', () => {
    const tables = new EdgeTables();
    deliver(tables, TYPE.app, { a: appBytes({ credentials: [credential('old'), credential('kept', 'one')] }) });
    deliver(tables, TYPE.app, {
      a: appBytes({
        credentials: [{ ...credential('kept', 'two'), expiresAt: 77n, enabled: false }, credential('empty', '')],
      }),
    });
    expect(tables.caller('old')).toBeUndefined();
    expect(tables.caller('kept')).toMatchObject({ enabled: false, expiresAt: 77 });
    expect(tables.caller('kept')?.key?.sign('x')).toBe(new HmacKey(Buffer.from('two')).sign('x'));
    expect(tables.caller('empty')?.key).toBeUndefined();
    expect(tables.callersOf('a')).toHaveLength(2);
  });

  it('find access keys as they stand in a header: as bytes', () => {
    const tables = new EdgeTables();
    deliver(tables, TYPE.app, { a: appBytes({ credentials: [credential('钥')] }) });
    expect(tables.caller(Buffer.from('钥').toString('latin1'))?.app?.id).toBe('app0');
  });

  it('take nothing of an update in which one resource cannot be read', () => {
    const tables = new EdgeTables();
    const bytes = { good: policyBytes('good'), bad: Buffer.from([0xff]) };
    expect(() => deliver(tables, TYPE.policy, bytes)).toThrow(`${TYPE.policy} "bad" cannot be read`);
    expect(() => deliver(tables, TYPE.policy, { new: policyBytes('new', 9 as Signature_Digest) })).toThrow(
      'update the edge',
    );
    const dialect = {
      dialect: 7 as Signature_Dialect,
      requiredHeaders: [],
      digest: 0,
      clockSkewSeconds: 1,
      tolerant: false,
    };
    const foreign = policyBytes('foreign', 0, { signature: dialect } as never);
    expect(() => deliver(tables, TYPE.policy, { foreign })).toThrow('dialect this edge does not know (7)');
    expect(tables.policy('good')).toBeUndefined();
    expect(tables.versions(TYPE.policy).size).toBe(0);
  });

  it('wake those who wait for a policy, and tell the others in time', async () => {
    const tables = new EdgeTables();
    const waiting = [tables.whenPolicy('p', 60_000), tables.whenPolicy('p', 60_000), tables.whenPolicy('q', 1)];
    deliver(tables, TYPE.policy, { p: policyBytes('p') });
    expect(await Promise.all(waiting)).toEqual([true, true, false]);
    expect(await tables.whenPolicy('p', 0)).toBe(true);
    deliver(tables, TYPE.policy, {}, ['p']);
    expect(tables.policy('p')).toBeUndefined();
  });

  it('leave types alone that this edge does not know', () => {
    const tables = new EdgeTables();
    deliver(tables, 'type.googleapis.com/paifang.v1.Future', { x: Buffer.from([0xff]) });
    deliver(tables, TYPE.app, { a: appBytes() });
    expect(tables.caller(AK)).toBeDefined();
  });
});
