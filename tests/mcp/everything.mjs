// SPDX-License-Identifier: MIT
// Starts the reference server "everything" over HTTP, on a free port of 127.0.0.1, which it
// prints. By itself the server listens on all addresses.
import { Server } from 'node:net';

const { listen } = Server.prototype;
Server.prototype.listen = function onLoopback(port, ready) {
  return listen.call(this, 0, '127.0.0.1', () => {
    process.stdout.write(`${this.address().port}\n`);
    ready?.();
  });
};
console.log = () => {};
await import('@modelcontextprotocol/server-everything/dist/transports/streamableHttp.js');
