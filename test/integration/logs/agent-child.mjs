// A log agent in a process that can be killed: node agent-child.mjs <JSON of its options>. Ships to `collector` by HTTP.
import { LogAgent } from '../../../dist/edge/log/log-agent.js';

const { collector, ...options } = JSON.parse(process.argv[2]);
const agent = await LogAgent.start({
  ...options,
  utcOffsetMinutes: () => 0,
  reopenLogs: async () => {
    await fetch(`${collector}/reopen`, { method: 'POST' });
  },
  ship: async ({ node, cluster, file, offset, lines }, signal) => {
    const headers = { 'x-batch': JSON.stringify({ node, cluster, file, offset }) };
    const response = await fetch(collector, { method: 'POST', headers, body: lines, signal });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  },
  onTrouble: (message) => console.error(message),
});
console.log('ready');
process.on('SIGTERM', async () => {
  await agent.close();
  process.exit(0);
});
