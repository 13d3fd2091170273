-- SPDX-License-Identifier: MIT
-- What people ask the views: a question a line, for tests/bench/scale.
SELECT * FROM decisions ORDER BY ts DESC LIMIT 20;
SELECT * FROM decisions WHERE key_id = 'key-77' ORDER BY ts DESC LIMIT 50;
SELECT * FROM decisions WHERE agent = 'bench/agent-77' ORDER BY ts DESC LIMIT 50;
SELECT decision, source, count(*) FROM decisions WHERE ts >= unixepoch('now', '-1 day') * 1000 GROUP BY 1, 2;
SELECT * FROM denials ORDER BY ts DESC LIMIT 20;
SELECT * FROM denials WHERE key_id = 'key-98' ORDER BY ts DESC LIMIT 20;
SELECT agent, count(*) FROM denials WHERE ts >= unixepoch('now', '-31 days') * 1000 GROUP BY +agent ORDER BY 2 DESC;
SELECT count(*) FROM denials;
SELECT * FROM requests ORDER BY ts DESC LIMIT 20;
SELECT * FROM requests WHERE key_id = 'key-77' ORDER BY ts DESC LIMIT 50;
SELECT * FROM requests WHERE agent = 'bench/agent-77' ORDER BY ts DESC LIMIT 50;
SELECT outcome, count(*) FROM requests WHERE ts >= unixepoch('now', '-1 day') * 1000 GROUP BY 1;
SELECT key_id, count(*) FROM requests WHERE ts >= unixepoch('now', '-1 day') * 1000 GROUP BY +key_id ORDER BY 2 DESC;
SELECT * FROM requests WHERE ts >= unixepoch('now', '-1 hour') * 1000 AND outcome = 'timeout';
SELECT * FROM active_overrides;
SELECT * FROM override_history ORDER BY created DESC LIMIT 20;
SELECT health, count(*) FROM key_health GROUP BY 1;
SELECT * FROM key_health WHERE id = 'key-77';
SELECT * FROM usage_by_key_day WHERE key_id = 'key-77' AND day_number > unixepoch('now') / 86400 - 31;
SELECT * FROM usage_by_key_day WHERE day_number > unixepoch('now') / 86400 - 7 ORDER BY total_tokens DESC LIMIT 20;
SELECT * FROM shadow_decisions ORDER BY ts DESC LIMIT 20;
