-- SPDX-License-Identifier: MIT
-- Which tools the agents of a run-time key may call: JSON arrays, NULL = inherits. Keys of
-- security.yaml have theirs in the configuration alone.
ALTER TABLE api_key ADD COLUMN allow_tools TEXT;
ALTER TABLE api_key ADD COLUMN deny_tools TEXT;
