// Loaded into the program by start.mjs. When the process at the other end of file descriptor 3 is gone, even by
// kill -9, the program is asked to stop, so that nothing is left running without a terminal.
import { Socket } from 'node:net';

new Socket({ fd: 3, readable: true, writable: false })
  .on('error', () => {})
  .on('close', () => process.kill(process.pid, 'SIGTERM'))
  .resume()
  .unref();
