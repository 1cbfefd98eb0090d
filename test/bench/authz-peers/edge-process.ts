// The edge of the bench, in a process of its own: ext_authz with 10,000 access keys. argv: socket path.
import { TYPE } from '../../../src/core/ads/resource.js';
import { startAuthz } from '../../../src/edge/authz/authz.js';
import { EdgeTables } from '../../../src/edge/tables.js';
import { appBytes, fill } from '../../support/edge-envoy.js';
import { KEYS, keyOf } from './keys.js';

process.on('disconnect', () => process.exit());
const tables = new EdgeTables();
fill(tables);
tables.apply({
  type: TYPE.app,
  removals: [],
  upserts: Array.from({ length: KEYS }, (_, n) => {
    const { accessKey, secret } = keyOf(n);
    const credentials = [{ accessKey, secretKey: Buffer.from(secret), enabled: true, expiresAt: 0n }];
    return { name: `app-${n}`, version: '1', bytes: appBytes({ id: `app-${n}`, credentials }) };
  }),
});
const authz = await startAuthz({
  socket: process.argv[2] as string,
  tables,
  policyWaitMs: 1000,
  warmUpChecks: 3000,
  request: () => {},
});
authz.publish();
process.send?.('ready');
