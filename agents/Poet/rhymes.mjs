// SPDX-License-Identifier: MIT
// A helper module beside agent.mjs: families of words that rhyme.
export const RHYMES = [
  ["night", "light", "sight", "bright", "flight"],
  ["day", "way", "grey", "stay", "play"],
  ["sea", "free", "tree", "key", "bee"],
  ["moon", "soon", "tune", "june", "noon"],
  ["rain", "train", "lane", "again", "plain"],
];
