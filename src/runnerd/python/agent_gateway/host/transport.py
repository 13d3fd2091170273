# SPDX-License-Identifier: MIT
"""HTTP calls to the gateway's address become messages, whichever client makes them.

The SDK's client, and clients that agents build themselves: OPENAI_BASE_URL names a host that
does not exist, and the transports of httpx2 and httpx ask here before they ask the network.
"""
import json

from agent_gateway.host.calls import RunEnded, Timeout, current_run, depth
from agent_gateway.host.wire import TooLong

HOST = "gateway.invalid"
BASE_URL = f"http://{HOST}/v1"
_PATH = "/v1/chat/completions"
_JSON = {"content-type": "application/json"}
# After [DONE] the client would wait for the end of an HTTP/1.1 body for a tenth of a second, to
# use the connection again.
_EXTENSIONS = {"http_version": b"HTTP/2"}
# The gateway has retried already, as its configuration says.
_NO_RETRY = {"x-should-retry": "false"}


def error_object(message, kind="invalid_request_error", code=None):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


class _Refused(Exception):
    """Answered here: the gateway is not asked."""

    def __init__(self, status, message, code=None):
        super().__init__(message)
        self.status, self.body = status, error_object(message, code=code)


def _open(request, content, is_of_sdk):
    path = request.url.path
    if path != _PATH or request.method != "POST":
        raise _Refused(404, f"agents can ask the gateway for POST {_PATH}, and not for "
                            f"{request.method} {path}: take client.chat.completions",
                       "not_served")
    run = current_run.get()
    if run is None:
        raise _Refused(409, "a model can be asked while the agent answers a request, not while "
                            "its module is loaded or in threads that no run has started",
                       "no_run")
    try:
        body = json.loads(content)
        if not isinstance(body, dict):
            raise ValueError("no object")
        run.adjust(body)
        return run.ask({"t": "llm.request", "api": "chat/completions", "body": body,
                        "main": is_of_sdk and depth.get() == 1})
    except TooLong as error:
        raise _Refused(413, str(error), "request_too_large") from None
    except (ValueError, RecursionError) as error:
        raise _Refused(400, f"the body is no JSON object: {error}") from None


def _headers(message, status):
    headers = {str(k): str(v) for k, v in (message.get("headers") or {}).items()
               if k.lower() not in ("content-length", "content-encoding", "transfer-encoding")}
    headers.update(_JSON)
    if status >= 400:
        headers.update(_NO_RETRY)
    return headers


def _status(message, otherwise):
    status = message.get("status")
    return status if isinstance(status, int) and 100 <= status <= 599 else otherwise


def _whole(call, message):
    """-> (status, headers, body) of an answer that is no stream."""
    kind = message.get("t")
    call.end()
    if kind == "llm.response":
        status = _status(message, 200)
        body = message.get("body")
        call.run.note_answer(body)
    elif kind == "llm.error":
        status = _status(message, 502)
        body = message.get("body") or error_object("the upstream failed", "api_error")
    else:
        status, body = 502, error_object(f"the gateway answered with {kind}", "api_error")
    return status, _headers(message, status), json.dumps(body).encode()


def _event(call, message):
    """-> (bytes of the event stream, whether it has ended)."""
    kind = message.get("t")
    if kind == "llm.chunk":
        data = message.get("data")
        call.run.note_chunk(data)
        return b"data: " + json.dumps(data).encode() + b"\n\n", False
    call.end()
    if kind == "llm.end":
        return b"data: [DONE]\n\n", True
    call.run.cut = message
    body = message.get("body") or error_object("the upstream's stream was cut", "api_error")
    if not isinstance(body, dict) or not body.get("error"):
        body = {"error": body}
    return b"data: " + json.dumps(body).encode() + b"\n\n", True


def _read_timeout(request):
    return (request.extensions.get("timeout") or {}).get("read")


def handlers(http, is_of_sdk=False):
    """The two functions that answer a request; `http` is the module httpx2 or httpx.

    `is_of_sdk`: those of the SDK's own client.
    """

    class AsyncEvents(http.AsyncByteStream):
        def __init__(self, call, seconds):
            self.call, self.seconds = call, seconds

        async def __aiter__(self):
            ended = False
            while not ended:
                try:
                    data, ended = _event(self.call, await self.call.get(self.seconds))
                except Timeout:
                    raise http.ReadTimeout("no chunk in time") from None
                except RunEnded as error:
                    raise http.ReadError(str(error)) from None
                yield data

        async def aclose(self):
            self.call.cancel()

    class Events(http.SyncByteStream):
        def __init__(self, call, seconds):
            self.call, self.seconds = call, seconds

        def __iter__(self):
            ended = False
            while not ended:
                try:
                    data, ended = _event(self.call, self.call.get_blocking(self.seconds))
                except Timeout:
                    raise http.ReadTimeout("no chunk in time") from None
                except RunEnded as error:
                    raise http.ReadError(str(error)) from None
                yield data

        def close(self):
            self.call.cancel()

    def response(request, call, first, events, seconds):
        if first.get("t") == "llm.head":
            status = _status(first, 200)
            headers = {**_headers(first, status), "content-type": "text/event-stream"}
            return http.Response(status, headers=headers, stream=events(call, seconds),
                                 request=request, extensions=_EXTENSIONS)
        status, headers, body = _whole(call, first)
        return http.Response(status, headers=headers, content=body, request=request)

    def refusal(request, refused):
        return http.Response(refused.status, headers={**_JSON, **_NO_RETRY},
                             content=json.dumps(refused.body).encode(), request=request)

    async def answer(request):
        try:
            call = _open(request, await request.aread(), is_of_sdk)
        except _Refused as refused:
            return refusal(request, refused)
        seconds = _read_timeout(request)
        try:
            first = await call.get(seconds)
        except Timeout:
            call.cancel()
            raise http.ReadTimeout("no answer in time", request=request) from None
        except RunEnded as error:
            raise http.ReadError(str(error), request=request) from None
        except BaseException:
            call.cancel()
            raise
        return response(request, call, first, AsyncEvents, seconds)

    def answer_blocking(request):
        try:
            call = _open(request, request.read(), is_of_sdk)
        except _Refused as refused:
            return refusal(request, refused)
        seconds = _read_timeout(request)
        try:
            first = call.get_blocking(seconds)
        except Timeout:
            call.cancel()
            raise http.ReadTimeout("no answer in time", request=request) from None
        except RunEnded as error:
            raise http.ReadError(str(error), request=request) from None
        return response(request, call, first, Events, seconds)

    return answer, answer_blocking


def install(http):
    """Puts the handlers before the network of the module httpx2 or httpx."""
    answer, answer_blocking = handlers(http)
    network, network_blocking = (http.AsyncHTTPTransport.handle_async_request,
                                 http.HTTPTransport.handle_request)

    async def handle_async_request(self, request):
        if request.url.host == HOST:
            return await answer(request)
        return await network(self, request)

    def handle_request(self, request):
        if request.url.host == HOST:
            return answer_blocking(request)
        return network_blocking(self, request)

    http.AsyncHTTPTransport.handle_async_request = handle_async_request
    http.HTTPTransport.handle_request = handle_request


def async_client(http):
    """A client of the module httpx2 or httpx that has no network at all, and starts fast."""
    answer, _ = handlers(http, is_of_sdk=True)

    class Transport(http.AsyncBaseTransport):
        async def handle_async_request(self, request):
            return await answer(request)

    return http.AsyncClient(transport=Transport(), base_url=BASE_URL)
