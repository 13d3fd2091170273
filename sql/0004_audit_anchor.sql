-- SPDX-License-Identifier: MIT
-- Old audit rows can be removed in the open. A row 'audit.pruned' of the trail announces up to
-- where; the same transaction notes it here, and from then on rows up to there, and no others,
-- may be deleted. The trail's first row is then the one behind the newest anchor.
CREATE TABLE audit_anchor (
    seq  INTEGER PRIMARY KEY,   -- the last row that may be gone
    hash TEXT NOT NULL,         -- its hash: the prev_hash of the row behind it
    at   INTEGER NOT NULL,
    by   TEXT                   -- who removed it
) STRICT;

DROP TRIGGER audit_event_no_delete;
CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event
WHEN OLD.seq > coalesce((SELECT max(seq) FROM audit_anchor), 0)
BEGIN
    SELECT RAISE(ABORT, 'audit_event is append-only');
END;
