// SPDX-License-Identifier: MIT
// What package.json asks for and is not there, without importing any of it.
//
// contrib/install-agent-deps --check runs this file as a program: FOLDER of the agent, and that of
// all agents, whose packages count for an agent without any.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

function read(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch (error) {
    // What the sandbox does not open is nobody's to be used.
    if (["ENOENT", "ENOTDIR", "EACCES"].includes(error.code)) return null;
    throw error;
  }
}

function lineOf(text, name) {
  const at = text.indexOf(`${JSON.stringify(name)}:`);
  return at < 0 ? null : text.slice(0, at).split("\n").length;
}

/** Ranges are npm's to understand; an exact version is compared. */
function lacks(folder, name, wanted) {
  const text = read(path.join(folder, "node_modules", name, "package.json"));
  if (text === null) return `${name} ${wanted}`;
  const { version } = JSON.parse(text);
  return /^\d+\.\d+\.\d+/.test(wanted) && wanted !== version
    ? `${name} ${wanted} (version ${version} is installed)` : null;
}

/** [{path, line, what}] of the folder's package.json; [] without such a file. */
export function missing(folder, root) {
  const file = path.join(folder, "package.json");
  const text = read(file);
  if (text === null) return [];
  let wanted;
  try {
    wanted = Object.entries(JSON.parse(text).dependencies ?? {});
  } catch (error) {
    return [{ path: file, line: null, what: `package.json cannot be read: ${error.message}` }];
  }
  const place = fs.existsSync(path.join(folder, "node_modules")) ? folder : root;
  return wanted.map(([name, range]) => ({ path: file, line: lineOf(text, name),
    what: lacks(place, name, String(range)) })).filter(({ what }) => what !== null);
}

if (process.argv[1] && import.meta.url === pathToFileURL(fs.realpathSync(process.argv[1])).href) {
  const found = missing(process.argv[2], process.argv[3]);
  for (const { path: file, line, what } of found) console.log(`${file}:${line ?? 1}: ${what}`);
  process.exit(found.length > 0 ? 1 : 0);
}
