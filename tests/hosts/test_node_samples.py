# SPDX-License-Identifier: MIT
"""The sample agents in agents/ that are in JavaScript do what they are there to show."""
import env
from host_play import answer


def test_poet(node_host):
    host = node_host(env.SOURCE / "agents/Poet")
    assert host.catalog["diagnostics"] == []
    assert host.catalog["gateway"]["display_name"] == "Poet"
    assert host.catalog["exports"] == [
        {"attr": "agent", "kind": "agent", "name": "Poet", "model": None,
         "tools": ["find_rhymes"], "handoffs": []}]
    poem = "The moon was bright,\nit shone all night."
    last, run = answer(host, messages=[{"role": "user", "content": "A poem, please"}], model=[
        {"tool_calls": [{"name": "find_rhymes", "arguments": {"word": "Night"}},
                        {"name": "find_rhymes", "arguments": {"word": "orange"}}]},
        {"content": poem, "when": {"last": "No rhyme with orange"}}])
    assert last["output"] == poem
    assert "light, sight, bright, flight" in str(run.requests[1]["messages"])
    last, _ = answer(host, model=[{"content": "line\n" * 9}])
    assert last["class"] == "output_guardrail" and "is_short" in last["message"]
