// SPDX-License-Identifier: MIT
// What to do about errors that code which runs well as a script meets here first.

const NETWORK = "an agent has no network unless its entry in agents.yaml says `network: true`";
const FILES = "an agent may read its own folder, where the modes of files allow that, and write " +
  "to the folder of os.tmpdir() alone";
const LOADING = "code that runs the agent as a script belongs into another file";

const NO_NETWORK = ["ENOTFOUND", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH", "EAFNOSUPPORT"];
const NO_WRITING = ["EACCES", "EPERM", "EROFS"];

function of({ code, path }) {
  if (NO_NETWORK.includes(code)) return NETWORK;
  if (NO_WRITING.includes(code)) return path === undefined ? NETWORK : FILES;
  return code === "no_run" ? LOADING : null;
}

/** A sentence about the first of `causes` that there is one for, in brackets, or "". */
export function hint(causes) {
  for (const cause of causes) {
    let text = null;
    try {
      text = of(cause);
    } catch {
      // It is the agent's own object.
    }
    if (text !== null) return ` (${text})`;
  }
  return "";
}
