-- What happened to one request? Give its x-request-id:
-- Usage: sqlite3 -readonly -box -cmd '.param init' \
--          -cmd ".param set :id 'the-request-id'" gateway.db < request-by-id.sql
-- Without the parameter it shows the newest request.
SELECT time, request_id, route, key_id, agent, decision, source, override_id, outcome, status,
       streaming, upstream, model, prompt_tokens, completion_tokens, duration_ms, reason,
       generation, process, seq, end_seq
  FROM requests
 WHERE request_id = coalesce(:id, (SELECT request_id FROM audit_event
                                    WHERE request_id IS NOT NULL
                                    ORDER BY seq DESC LIMIT 1))
 ORDER BY seq;
