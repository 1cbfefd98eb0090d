// The supervised log store process, as `paifang chdb` runs it: node chdb-child.mjs <dir> <port>
import { runChdbChild } from '../../../dist/logs/chdb-child.js';

const [dir, port] = process.argv.slice(2);
await runChdbChild({ dir, host: '127.0.0.1', port: Number(port), input: process.stdin, output: process.stdout });
process.exit(0);
