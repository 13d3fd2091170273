-- SPDX-License-Identifier: MIT
-- Which problems of drop-in agents have been told, so that each is told once: by one of all
-- gateways, however often they or the runner start anew. `hash` is over what the problem says.
CREATE TABLE dropin_list (
    runner     TEXT NOT NULL PRIMARY KEY,  -- its socket
    started_at INTEGER NOT NULL,           -- of the runner, UTC ms
    generation INTEGER NOT NULL,           -- of the list that was looked at last
    looks      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE dropin_problem (
    runner TEXT NOT NULL,
    hash   TEXT NOT NULL,
    look   INTEGER NOT NULL,               -- the last one that found it
    PRIMARY KEY (runner, hash)
) STRICT, WITHOUT ROWID;
