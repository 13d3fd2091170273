# SPDX-License-Identifier: MIT
"""The contract's table of endpoints, and the gateway's own, out of its source."""
import re

import env
from wire import chat_body

CHAT = chat_body("mock/ok")
PREVIEW = {"agent": "mock/ok"}
GRANT = {"agent": "vault/matrix", "ttl_seconds": 1, "reason": "matrix"}
KEY = {"id": "matrix", "ttl_seconds": 1, "description": "matrix"}
CLIENT, AUDITOR, ADMIN = "client", "auditor", "admin"

# The contract's table: method, path, roles that may, body. No roles: open to everybody.
ROUTES = [
    ("GET", "/health", set(), None),
    ("GET", "/ready", set(), None),
    ("GET", "/openapi.json", set(), None),
    ("GET", "/v1/models", {CLIENT}, None),
    ("GET", "/v1/models/mock/ok", {CLIENT}, None),
    ("POST", "/v1/chat/completions", {CLIENT}, CHAT),
    ("POST", "/security/preview", {ADMIN, AUDITOR}, PREVIEW),
    ("POST", "/security/override", {ADMIN}, GRANT),
    ("GET", "/security/overrides", {ADMIN}, None),
    ("DELETE", "/security/overrides/ovr_0000000000000000", {ADMIN}, None),
    ("POST", "/security/refresh", {ADMIN}, None),
    ("GET", "/security/keys", {ADMIN}, None),
    ("POST", "/security/keys", {ADMIN}, KEY),
    ("POST", "/security/keys/key_0000000/rotate", {ADMIN}, {}),
    ("DELETE", "/security/keys/key_0000000", {ADMIN}, None),
    ("GET", "/security/audit", {ADMIN, AUDITOR}, None),
    ("GET", "/security/audit/verify", {ADMIN, AUDITOR}, None),
    ("GET", "/agents", {ADMIN, AUDITOR}, None),
    ("GET", "/admin/agents", {ADMIN, AUDITOR}, None),
    ("GET", "/upstreams", {ADMIN, AUDITOR}, None),
    ("GET", "/admin/upstreams", {ADMIN, AUDITOR}, None),
    ("POST", "/agents/refresh", {ADMIN}, None),
    ("POST", "/admin/agents/refresh", {ADMIN}, None),
    ("POST", "/upstreams/refresh", {ADMIN}, None),
    ("POST", "/admin/upstreams/refresh", {ADMIN}, None),
    ("GET", "/tools", {ADMIN, AUDITOR}, None),
    ("GET", "/admin/tools", {ADMIN, AUDITOR}, None),
    ("POST", "/tools/refresh", {ADMIN}, None),
    ("POST", "/admin/tools/refresh", {ADMIN}, None),
    ("GET", "/admin/agents/errors", {ADMIN, AUDITOR}, None),
    ("GET", "/agents/errors", {ADMIN, AUDITOR}, None),
    ("GET", "/metrics", {ADMIN, AUDITOR}, None),
    ("GET", "/metrics/prometheus", {ADMIN, AUDITOR}, None),
    ("GET", "/admin/metrics", {ADMIN, AUDITOR}, None),
]


def served():
    """(method, path, roles) of every row of routes_table in src/api/routes.c."""
    text = (env.SOURCE / "src/api/routes.c").read_text()
    roles = {"0": [], "ROLE_CLIENT": ["client"], "ROLE_ADMIN": ["admin"],
             "AUDITORS": ["admin", "auditor"]}
    return [(method, path, roles[names]) for method, path, names in re.findall(
        r'\{"(\w+)",\s*"(/[^"]*)",\s*ROUTE_\w+,\s*(\w+),', text)]
