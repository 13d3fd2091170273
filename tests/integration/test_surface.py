# SPDX-License-Identifier: MIT
"""Every endpoint admits the roles of the contract's table and no others, and all endpoints
keep the general rules: request ids, errors, CORS, methods, headers."""
import http.client
import json
import re
import subprocess

import pytest

from gateway import KEYS, UNKNOWN_KEY
from procs import wait_until
from routes import ADMIN, AUDITOR, CHAT, CLIENT, GRANT, PREVIEW, ROUTES, served
from wire import chat, chat_body, new_id, request

# Keys of the matrix gateway by the roles they hold.
HOLDERS = {"client": {CLIENT}, "auditor": {AUDITOR}, "admin": {ADMIN},
           "client2": {CLIENT, AUDITOR}}


@pytest.fixture(scope="module")
def matrix(session_dir, mock):
    """A gateway whose keys hold one role each."""
    from gateway import Gateway
    from webserver import WebServer
    security = {"api_keys": [{"id": name, "key": KEYS[name], "roles": sorted(roles)}
                             for name, roles in HOLDERS.items()]}
    with Gateway(session_dir / "matrix", mock, security=security) as instance, \
            WebServer(instance.directory, instance.socket, "lighttpd") as web:
        instance.port = web.port
        yield instance


@pytest.mark.parametrize("holder", [*HOLDERS, "nobody", "stranger"])
@pytest.mark.parametrize("method,path,roles,body", ROUTES,
                         ids=[f"{route[0]}-{route[1]}" for route in ROUTES])
def test_T2_route_by_role(matrix, method, path, roles, body, holder):
    key = {"nobody": None, "stranger": UNKNOWN_KEY}.get(holder, KEYS.get(holder))
    rid = new_id("cell")
    answer = request(matrix.port, method, path, {"X-Request-Id": rid}, body, key)
    assert answer.header("x-request-id") == rid
    if not roles:
        assert answer.status == 200
        return
    if holder in ("nobody", "stranger"):
        assert answer.status == 401
        assert answer.error()["code"] == (None if holder == "nobody" else "invalid_api_key")
    elif HOLDERS[holder] & roles:
        assert answer.status in (200, 201, 404), answer
        if answer.status == 404:
            assert "0000000" in path
    else:
        assert answer.status == 403
        assert answer.error()["type"] == "permission_error"
    rows = wait_until(lambda: matrix.sql(
        "SELECT * FROM audit_event WHERE request_id = ? AND outcome IS NOT NULL", rid), 5,
        "audit row")
    assert len(rows) == 1
    assert rows[0]["outcome"] == ("denied" if answer.status in (401, 403) else
                                  "invalid" if answer.status == 404 else "completed")


def test_T2_the_matrix_has_every_route():
    """Each endpoint that the gateway serves is a row of the matrix, with the same roles."""
    assert sorted((method, re.sub(r"(mock/ok|(ovr|key)_0+)(?=$|/rotate)", "{id}", path), sorted(roles))
                  for method, path, roles, _ in ROUTES) == sorted(served())


def test_T3_self_grant_and_mass_assignment_store_nothing(matrix):
    """A client cannot grant itself anything, and nobody can set what the server sets."""
    before = matrix.sql("SELECT count(*) AS n FROM override_history")
    for body in (GRANT, {**GRANT, "created_by": "admin", "key_id": "client"}):
        assert request(matrix.port, "POST", "/security/override", body=body,
                       key=KEYS["client"]).status == 403
    for surplus in ({"created_by": "root"}, {"id": "ovr_1"}, {"expires_at": "2099-01-01"},
                    {"key_id": "nobody-has-this"}, {"reason": "x" * 501}, {"agent": ""}):
        answer = request(matrix.port, "POST", "/security/override", body={**GRANT, **surplus},
                         key=KEYS["admin"])
        assert answer.status == 400, (surplus, answer)
    assert matrix.sql("SELECT count(*) AS n FROM override_history") == before


def test_preview_decides_for_the_named_key(matrix):
    def preview(**body):
        return request(matrix.port, "POST", "/security/preview", body=body,
                       key=KEYS["auditor"])
    value = preview(agent="labs/open-door", key_id="client").json()
    assert (value["allowed"], value["source"], value["key_id"], value["namespace"]) == \
        (True, "namespace_default", "client", "labs")
    assert value["pattern"] == "labs/open-*" and value["trace"]
    assert preview(agent="mock/ok").json()["key_id"] == "auditor"
    unknown = preview(agent="mock/ok", key_id="no-such-key")
    assert unknown.status in (400, 404) and unknown.error()["param"] in ("key_id", None)
    for body in ({}, {"agent": 7}, {"agent": "mock/ok", "surplus": 1}):
        assert preview(**body).status == 400


@pytest.mark.parametrize("given,kept", [
    ("abc", True), ("A-b_c.9", True), ("x" * 128, True), ("x" * 129, False), ("a b", False),
    ("a/b", False), ("<script>", False), ("é", False), ("", False), (None, False)])
def test_request_id(server, given, kept):
    headers = [] if given is None else [("X-Request-Id", given)]
    answer = request(server.port, "GET", "/health", headers)
    assert answer.status == 200
    back = answer.header("x-request-id")
    assert (back == given) == kept
    assert 1 <= len(back) <= 128 and all(c.isalnum() or c in "._-" for c in back)


def test_request_ids_of_the_gateway_differ(server):
    ids = {request(server.port, "GET", "/health").header("x-request-id") for _ in range(20)}
    assert len(ids) == 20


@pytest.mark.parametrize("path,status", [
    ("/", 404), ("/nothing", 404), ("/v1", 404), ("/v1/", 404), ("/v1/chat", 404),
    ("/security", 404), ("/health/", 404), ("/Health", 404), ("/healthz", 404)])
def test_unknown_endpoints(server, path, status):
    answer = request(server.port, "GET", path, key=KEYS["client"])
    assert answer.status == status
    assert answer.error()["type"] == "invalid_request_error"


@pytest.mark.parametrize("method,path,allow", [
    ("DELETE", "/v1/models", "GET"), ("GET", "/v1/chat/completions", "POST"),
    ("PUT", "/v1/chat/completions", "POST"), ("POST", "/health", "GET"),
    ("PATCH", "/security/overrides/ovr_1", "DELETE"), ("GET", "/security/override", "POST")])
def test_method_not_allowed(server, method, path, allow):
    answer = request(server.port, method, path, key=KEYS["admin"],
                     body={} if method in ("PUT", "POST", "PATCH") else None)
    assert answer.status == 405, answer
    assert allow in answer.header("allow")
    assert answer.error()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/health", "/v1/models"])
def test_head_is_get_without_a_body(server, path):
    answer = request(server.port, "HEAD", path, key=KEYS["client"])
    assert answer.status == 200 and answer.body == b""
    assert answer.header("content-type").startswith("application/json")


def test_headers_of_answers(server):
    answer = request(server.port, "GET", "/v1/models", key=KEYS["client"])
    assert answer.header("content-type").startswith("application/json")
    assert answer.header("cache-control") == "no-store"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("x-ratelimit-limit-requests") == "100000"
    assert int(answer.header("x-ratelimit-remaining-requests")) < 100000
    assert answer.header("x-ratelimit-reset-requests").endswith("s")
    assert not any(char.isdigit() for char in answer.header("server") or "")


@pytest.mark.parametrize("model", ["mock/status-500", "mock/stall", "mock/reset"])
def test_what_may_be_tried_again_is_not_forbidden_to(nginx, model):
    """The official clients try again by themselves unless a header says no."""
    answer = chat(nginx.port, KEYS["client"], model)
    assert answer.status in (502, 504) and answer.header("x-should-retry") != "false"


def test_retry_after_of_the_upstream_is_passed_on(make):
    from gateway import agent
    gateway = make.gateway(agents={"agents": [agent("status-429-retry-7")]})
    for name in ("lighttpd", "apache", "nginx"):
        answer = chat(make.server(gateway, name).port, KEYS["client"],
                      "mock/status-429-retry-7")
        assert answer.status in (429, 503)  # 503: still resting, as the upstream wished
        assert 1 <= int(answer.header("retry-after")) <= 7
        gateway.stop()
        gateway.start()


def test_one_connection_carries_many_answers(server):
    """Refusals, large bodies and streams leave a kept connection usable or close it openly."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {"Authorization": f"Bearer {KEYS['client']}", "Content-Type": "application/json"}
    large = json.dumps(chat_body("mock/ok", text="x" * (1 << 20)))
    wishes = [("GET", "/v1/models", None, 200), ("POST", "/v1/chat/completions", chat_body("mock/ok"), 200),
              ("POST", "/v1/chat/completions", chat_body("mock/ok", stream=True), 200),
              ("POST", "/v1/chat/completions", {}, 400),
              ("POST", "/v1/chat/completions", large, 413),
              ("GET", "/health", None, 200), ("HEAD", "/v1/models", None, 200),
              ("POST", "/security/preview", PREVIEW, 403), ("GET", "/nothing", None, 404)]
    for method, path, body, status in wishes * 3:
        body = json.dumps(body) if isinstance(body, dict) else body
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == status, (method, path, answer.status, content[:200])
        if method != "HEAD" and answer.getheader("content-type") == "application/json":
            json.loads(content)
    connection.close()


# -- CORS ------------------------------------------------------------------------------------

def preflight(port, origin, path="/v1/chat/completions"):
    return request(port, "OPTIONS", path, [
        ("Origin", origin), ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type,x-stainless-new-one")])


def test_preflight_of_a_configured_origin(server):
    answer = preflight(server.port, "https://chat.example")
    assert answer.status in (200, 204), answer
    assert answer.header("access-control-allow-origin") == "https://chat.example"
    assert "POST" in answer.header("access-control-allow-methods")
    assert "x-stainless-new-one" in answer.header("access-control-allow-headers")
    assert "origin" in answer.header("vary").lower()


@pytest.mark.parametrize("origin", [
    "https://evil.example", "https://chat.example.evil.example", "http://chat.example", "null",
    "https://chat.example:444", "*"])
def test_foreign_origins_get_no_permission(server, origin):
    answer = preflight(server.port, origin)
    assert answer.header("access-control-allow-origin") is None
    answer = request(server.port, "GET", "/v1/models", [("Origin", origin)], key=KEYS["client"])
    assert answer.header("access-control-allow-origin") is None


def test_answers_and_errors_can_be_read_by_the_page(server):
    for key, status in ((KEYS["client"], 200), (UNKNOWN_KEY, 401)):
        answer = request(server.port, "GET", "/v1/models",
                         [("Origin", "https://chat.example")], key=key)
        assert answer.status == status
        assert answer.header("access-control-allow-origin") == "https://chat.example"
        exposed = answer.header("access-control-expose-headers").lower()
        for name in ("x-request-id", "retry-after", "x-ratelimit-limit-requests"):
            assert name in exposed
        assert answer.header("access-control-allow-credentials") is None


# -- what administrators see -----------------------------------------------------------------

def test_ready_names_what_is_missing(make, mock):
    from gateway import upstream
    gateway = make.gateway(agents={"agents": []}, upstreams={"upstreams": [
        upstream("mock", mock.base_url("unready"))]})
    port = make.server(gateway).port
    answer = request(port, "GET", "/ready")
    assert answer.status == 503 and "agents" in json.dumps(answer.json())
    assert request(port, "GET", "/health").status == 200


def test_catalog_and_upstreams_show_no_secret(server):
    from gateway import UPSTREAM_SECRET
    agents = request(server.port, "GET", "/admin/agents", key=KEYS["auditor"]).body.decode()
    assert "mock/ok" in agents
    upstreams = request(server.port, "GET", "/upstreams", key=KEYS["auditor"]).body.decode()
    assert "mock" in upstreams and UPSTREAM_SECRET not in upstreams
    keys = request(server.port, "GET", "/security/keys", key=KEYS["admin"]).body.decode()
    assert '"client"' in keys
    for secret in KEYS.values():
        assert secret not in keys


def test_audit_query(server, shared):
    rid = new_id("find")
    chat(server.port, KEYS["client"], "mock/ok", request_id=rid)
    shared.outcome(rid)
    answer = request(server.port, "GET", f"/security/audit?request_id={rid}",
                     key=KEYS["auditor"])
    events = answer.json()["events"]
    assert [event["outcome"] for event in events if event["outcome"]] == ["completed"]
    assert {event["agent"] for event in events} == {"mock/ok"}
    few = request(server.port, "GET", "/security/audit?limit=3&outcome=completed",
                  key=KEYS["auditor"]).json()["events"]
    assert len(few) <= 3 and {event["outcome"] for event in few} <= {"completed"}
    for query in ("limit=0", "limit=1001", "limit=x", "since=yesterday"):
        bad = request(server.port, "GET", f"/security/audit?{query}", key=KEYS["auditor"])
        assert bad.status == 400, query


def test_chain_verifies(nginx, shared):
    value = request(nginx.port, "GET", "/security/audit/verify", key=KEYS["auditor"],
                    timeout=60).json()
    assert value["ok"] is True and value["bad_seq"] is None
    assert value["checked"] > 0 and len(value["head"]["hash"]) == 64
    assert value["known"] is None and value["anchor"] is None
    head = f"{value['head']['seq']}:{value['head']['hash']}"

    def verify(query):
        return request(nginx.port, "GET", f"/security/audit/verify?{query}",
                       key=KEYS["auditor"], timeout=60)
    assert verify(f"head={head}").json()["known"] == "present"
    since = verify(f"since_head={head}").json()
    assert since["first_seq"] == value["head"]["seq"] and since["known"] == "present"
    changed = verify(f"head={value['head']['seq']}:{'0' * 64}").json()
    assert changed["ok"] is False and changed["bad_seq"] == value["head"]["seq"]
    assert changed["known"] == "changed"
    beyond = verify(f"since_head=999999999:{'0' * 64}").json()
    assert beyond["ok"] is False and beyond["known"] == "missing"
    for query in ("from=0", "head=17", f"head=0:{'0' * 64}", "head=17:00", "since_head=/etc/passwd",
                  f"head=17:{'g' * 64}", f"head=17:{'0' * 65}"):
        assert verify(query).status == 400, query


def test_log_lines_have_the_contract_s_fields(server, shared, rid):
    chat(server.port, KEYS["client"], "mock/ok", request_id=rid)
    event = shared.wait_event("http.request", request_id=rid)
    assert {"ts", "level", "event", "request_id"} <= set(event)
    decision = shared.wait_event("agent.security.decision", request_id=rid)
    assert (decision["key_id"], decision["agent"], decision["namespace"], decision["decision"],
            decision["source"], decision["pattern"]) == \
        ("client", "mock/ok", "mock", "allow", "api_key", "mock/*")


def test_expiring_keys_are_warned_of(make):
    gateway = make.gateway(security={"api_keys": [
        {"id": "soon", "key": KEYS["client"], "expires_at": _in_days(3)},
        {"id": "later", "key": KEYS["client2"], "expires_at": _in_days(30)},
        {"id": "past", "key": KEYS["expired"], "expires_at": "2020-01-01T00:00:00Z"}]})
    assert gateway.wait_event("api_key.expiring")["key_id"] == "soon"
    assert gateway.wait_event("api_key.expired")["key_id"] == "past"
    assert len(gateway.events("api_key.expiring")) == 1


def _in_days(days):
    done = subprocess.run(["date", "-u", "-d", f"+{days} days", "+%Y-%m-%dT%H:%M:%SZ"],
                          capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_empty_list_means_nothing_an_absent_one_inherits(make):
    gateway = make.gateway(security={"api_keys": [
        {"id": "client", "key": KEYS["client"], "allow_agents": []},
        {"id": "client2", "key": KEYS["client2"]}]})
    port = make.server(gateway).port
    assert chat(port, KEYS["client"], "mock/ok").status == 403
    assert chat(port, KEYS["client2"], "mock/ok").status == 200
    seen = [model["id"] for model in
            request(port, "GET", "/v1/models", key=KEYS["client"]).json()["data"]]
    assert seen == ["labs/open-door"]  # what the namespace grants to everybody


def test_openapi_tells_of_every_endpoint(lighttpd):
    document = request(lighttpd.port, "GET", "/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    told = sorted((method.upper(), path, sorted(operation["x-roles"]))
                  for path, operations in document["paths"].items()
                  for method, operation in operations.items())
    assert told == sorted(served())
    ids = [operation["operationId"] for operations in document["paths"].values()
           for operation in operations.values()]
    assert len(set(ids)) == len(ids)

    def refs(value):
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for inner in value.values():
                yield from refs(inner)
    for ref in refs(document):
        target = document
        for part in ref.removeprefix("#/").split("/"):
            target = target[part]
