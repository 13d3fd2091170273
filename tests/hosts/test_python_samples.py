# SPDX-License-Identifier: MIT
"""The sample agents in agents/ do what they are there to show."""
import env
from host_play import answer

CALCULATE = {"calculate": {"description": "Works out an expression.", "parameters": {
    "type": "object", "properties": {"expression": {"type": "string"}}}}}


def user(text):
    return [{"role": "user", "content": text}]


def test_sample_agent(python_host):
    host = python_host(env.SOURCE / "agents/SampleAgent")
    assert host.catalog["diagnostics"] == []
    assert [e["attr"] for e in host.catalog["exports"]] == ["agent"]
    question = user("How long is it from Easter to Christmas 2026?")
    last, run = answer(host, messages=question, model=[
        {"tool_calls": [{"name": "days_between", "arguments": {
            "start": "2026-04-05", "end": "2026-12-25"}}, {"name": "add_days", "arguments": {
                "start": "2026-12-25", "days": -1}}]},
        {"content": "264 days.", "when": {"last": "Thursday, 2026-12-24"}}])
    assert last["output"] == "264 days."
    assert "264 days" in str(run.requests[1]["messages"])


def test_planner(python_host):
    host = python_host(env.SOURCE / "agents/labs/Planner")
    assert host.catalog["diagnostics"] == []
    assert host.catalog["gateway"]["namespace"] == "travel"
    assert host.catalog["exports"] == [
        {"attr": "agent", "kind": "agent", "name": "Planner", "model": None,
         "tools": ["look_up_place"], "handoffs": ["Budget"]}]
    trip = [{"tool_calls": [{"name": "look_up_place", "arguments": {"name": "Rome"}}]},
            {"tool_calls": [{"name": "transfer_to_budget"}], "when": {"last": "130 euros"}}]
    last, run = answer(
        host, messages=user("Three days in Rome"), gateway_tools=CALCULATE,
        results={"calculate": {"ok": True, "content": "390"}}, model=[
            *trip, {"tool_calls": [{"name": "calculate", "arguments": {"expression": "3*130"}}]},
            {"content": "Rome: 390 euros.", "when": {"last": "390"}}])
    assert last["output"] == "Rome: 390 euros."
    assert [c["name"] for c in run.calls] == ["calculate"]
    # Where policy does not allow the tool, it is not there.
    last, run = answer(host, messages=user("Three days in Rome"),
                       model=[*trip, {"content": "About 400 euros."}])
    assert last["output"] == "About 400 euros." and "tools" not in run.requests[-1]
    last, _ = answer(host, messages=user("Please book a flight"),
                     model=[{"content": "Sure.", "repeat": True}])
    assert last["class"] == "input_guardrail" and "no_bookings" in last["message"]
