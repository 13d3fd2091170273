// SPDX-License-Identifier: MIT
// escapes.py in JavaScript: a module of agents that tries to get out of its sandbox.
import { spawn } from "node:child_process";
import dgram from "node:dgram";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

const MIB = 1 << 20;

async function connect(options) {
  const socket = net.connect(options);
  try {
    await once(socket, "connect");
  } finally {
    socket.destroy();
  }
}

const attempts = {
  tcp: (to) => connect({ host: "127.0.0.1", port: to.port }),
  async tcp_listen() {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    server.close();
  },
  async udp(to) {
    const socket = dgram.createSocket("udp4");
    await Promise.race([
      once(socket, "error").then(([error]) => { throw error; }),
      new Promise((done, fail) => socket.send("x", to.port, "127.0.0.1",
        (error) => (error ? fail(error) : done()))),
    ]);
    socket.close();
  },
  unix_socket: (to) => connect({ path: to.socket }),
  abstract_socket: (to) => connect({ path: `\0${to.abstract}` }),
  read_file: (to) => fs.readFileSync(to.file),
  list_folder: (to) => fs.readdirSync(path.dirname(to.file)),
  read_shadow: () => fs.readFileSync("/etc/shadow"),
  write_file: (to) => fs.appendFileSync(to.file, "escaped"),
  make_file: (to) => fs.writeFileSync(`${to.file}.new`, "escaped"),
  remove_file: (to) => fs.unlinkSync(to.victim_file),
  kill: (to) => process.kill(to.victim, "SIGUSR1"),
  environment_of: (to) => fs.readFileSync(`/proc/${to.victim}/environ`),
  memory_of: (to) => fs.closeSync(fs.openSync(`/proc/${to.victim}/mem`)),
  limit_of: (to) => os.setPriority(to.victim, 19),
  async fork_bomb(to) {
    const family = [];
    try {
      while (family.length < to.processes) {
        const child = spawn("/bin/sleep", ["1000"], { stdio: "ignore" });
        await once(child, "spawn");
        family.push(child);
      }
    } finally {
      for (const child of family) child.kill("SIGKILL");
    }
  },
  async memory(to) {
    const held = [];
    for (let size = 0; size < to.memory; size += 64 * MIB) {
      held.push(Buffer.alloc(64 * MIB, 1));
      await new Promise(setImmediate); // slow machines: a run may not be silent for long
    }
  },
  descriptors(to) {
    const held = [];
    try {
      while (held.length < to.files) held.push(fs.openSync("/dev/null"));
    } finally {
      held.forEach((fd) => fs.closeSync(fd));
    }
  },
  disk(to) {
    process.on("SIGXFSZ", () => {}); // Python ignores it by itself.
    const fd = fs.openSync(path.join(os.tmpdir(), "big"), "w");
    const some = Buffer.alloc(MIB);
    for (let size = 0; size < to.disk; size += MIB) fs.writeSync(fd, some);
  },
};

/** All that can be read of other processes' environments. */
function environments() {
  let seen = JSON.stringify(process.env);
  for (const name of fs.readdirSync("/proc").filter((one) => /^\d+$/.test(one))) {
    try {
      seen += fs.readFileSync(`/proc/${name}/environ`, "latin1");
    } catch { /* not for us */ }
  }
  return seen;
}

export const agent = {
  async run({ messages }) {
    const to = JSON.parse(messages.at(-1).content);
    const answer = { attempts: {}, environments: environments() };
    for (const attempt of to.attempts) {
      answer.attempts[attempt] = null;
      try {
        await attempts[attempt](to);
      } catch (error) {
        answer.attempts[attempt] = error.code ?? String(error);
      }
    }
    return answer;
  },
};
