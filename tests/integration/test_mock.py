# SPDX-License-Identifier: MIT
"""The mock upstream does what its scripts say: what all other files here rely on."""
import json

import strict
from wire import chat_body, frames, request, together


def _ask(mock, model, stream_it=False, **more):
    return request(mock.port, "POST", "/self/v1/chat/completions",
                   body=chat_body(model, stream_it, **more))


def test_answers_are_valid(mock):
    strict.check_completion(_ask(mock, "ok").body)
    payloads = frames(_ask(mock, "ok", True, stream_options={"include_usage": True}).body)
    strict.check_stream(payloads, usage=True)


def test_statuses(mock):
    answer = _ask(mock, "status-429-retry-7")
    assert answer.status == 429 and answer.header("retry-after") == "7"
    assert _ask(mock, "no such script").status == 404


def test_it_notices_who_leaves(mock, rid):
    body = json.dumps(chat_body("stall", user=rid)).encode()

    async def leave():
        import asyncio
        from wire import build
        _, writer = await asyncio.open_connection("127.0.0.1", mock.port)
        writer.write(build("POST", "/self/v1/chat/completions", [], body))
        await asyncio.sleep(0.2)
        writer.close()
    together(leave())
    assert mock.wait_ended(rid, 2)["cancelled"]


def test_behaviour_can_be_replaced(mock):
    mock.behave("self", "status-500", "ok")
    assert _ask(mock, "ok").status == 500
    mock.behave("self", None, "ok")
    assert _ask(mock, "ok").status == 200
