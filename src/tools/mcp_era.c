/* SPDX-License-Identifier: MIT */
/* Knows the two eras of the Model Context Protocol. */
#include "tools/mcp_era.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/json_text.h"

#define META "io.modelcontextprotocol/"

static const char *const legacy_versions[] = {MCP_LEGACY_VERSION, "2025-06-18", "2025-03-26",
                                              "2024-11-05"};

static bool is_legacy_version(const char *version)
{
    for (size_t i = 0; i < sizeof legacy_versions / sizeof legacy_versions[0]; i++)
        if (strcmp(version, legacy_versions[i]) == 0)
            return true;
    return false;
}

static bool lists(const json_t *versions, const char *version)
{
    json_t *one;
    size_t i;

    json_array_foreach(versions, i, one)
    {
        if (json_is_string(one) && strcmp(json_string_value(one), version) == 0)
            return true;
    }
    return false;
}

/* ---- what we say ---- */

static json_t *client_info(void)
{
    return json_pack("{s:s,s:s}", "name", "agent-gateway", "version", PACKAGE_VERSION);
}

json_t *mcp_era_params(const struct mcp_peer *peer, const json_t *params, json_int_t token)
{
    json_t *all = params == NULL ? json_object() : json_copy((json_t *)(uintptr_t)params);
    json_t *meta = json_object();

    if (all == NULL || meta == NULL)
        goto fail;
    if (token != 0)
        json_object_set_new(meta, "progressToken", json_integer(token));
    if (peer->era == MCP_MODERN) {
        json_object_set_new(meta, META "protocolVersion", json_string(peer->version));
        json_object_set_new(meta, META "clientInfo", client_info());
        json_object_set_new(meta, META "clientCapabilities", json_object());
    }
    if (json_object_size(meta) == 0)
        json_decref(meta);
    else if (json_object_set_new(all, "_meta", meta) != 0)
        goto nothing;
    return all;
fail:
    json_decref(meta);
nothing:
    json_decref(all);
    return NULL;
}

json_t *mcp_era_initialize(void)
{
    return json_pack("{s:s,s:{},s:o}", "protocolVersion", MCP_LEGACY_VERSION, "capabilities",
                     "clientInfo", client_info());
}

void mcp_era_session_headers(const struct mcp_peer *peer, struct mcp_headers *headers)
{
    if (peer->version[0] != '\0')
        mcp_headers_add(headers, "MCP-Protocol-Version", peer->version);
    if (peer->session_id[0] != '\0')
        mcp_headers_add(headers, "Mcp-Session-Id", peer->session_id);
}

void mcp_era_request_headers(const struct mcp_peer *peer, const char *method, const char *name,
                             struct mcp_headers *headers)
{
    if (peer->era != MCP_MODERN)
        return;
    mcp_headers_add(headers, "Mcp-Method", method);
    if (name != NULL)
        mcp_headers_encode(headers, "Mcp-Name", name);
}

/* ---- what they say ---- */

static void keep_server(struct mcp_peer *peer, const json_t *info)
{
    const char *name = json_string_value(json_object_get(info, "name"));
    const char *release = json_string_value(json_object_get(info, "version"));

    snprintf(peer->name, sizeof peer->name, "%s", name == NULL ? "" : name);
    snprintf(peer->release, sizeof peer->release, "%s", release == NULL ? "" : release);
    json_text_repair(peer->name);
    json_text_repair(peer->release);
}

static bool tells_changes(const json_t *result)
{
    const json_t *tools = json_object_get(json_object_get(result, "capabilities"), "tools");

    return json_is_true(json_object_get(tools, "listChanged"));
}

static int become_legacy(struct mcp_peer *peer)
{
    *peer = (struct mcp_peer){.era = MCP_LEGACY};
    return 0;
}

static int take_discovery(const json_t *result, struct mcp_peer *peer)
{
    const json_t *meta = json_object_get(result, "_meta");

    if (!lists(json_object_get(result, "supportedVersions"), MCP_MODERN_VERSION))
        return become_legacy(peer);
    *peer = (struct mcp_peer){.era = MCP_MODERN, .version = MCP_MODERN_VERSION};
    keep_server(peer, json_object_get(meta, META "serverInfo"));
    peer->tells_changes = tells_changes(result);
    return 0;
}

/* Their words are in it. */
static int cleaned(int code, struct err *e)
{
    mcp_message_clean(e->message);
    return code;
}

/* The server knows the modern era: does it also know a revision that we know? */
static int take_versions(const struct mcp_message *message, struct mcp_peer *peer,
                         struct err *e)
{
    const json_t *supported = json_object_get(message->data, "supported");

    for (size_t i = 0; i < sizeof legacy_versions / sizeof legacy_versions[0]; i++)
        if (lists(supported, legacy_versions[i]))
            return become_legacy(peer);
    err_set(e, AGW_EUPSTREAM, "it speaks none of this gateway's revisions of the protocol but "
            "%.40s", json_is_string(json_array_get(supported, 0)) ?
            json_string_value(json_array_get(supported, 0)) : "others");
    return cleaned(AGW_EUPSTREAM, e);
}

/* What no other way of asking would change. */
static int refused(int status, struct err *e)
{
    if (status >= 300 && status < 400)
        return err_set(e, AGW_EUPSTREAM, "it redirects to somewhere else (HTTP %d), which is not "
                       "followed", status);
    if (status == 401 || status == 403 || status == 407)
        return err_set(e, AGW_EUPSTREAM, "it wants other credentials (HTTP %d)", status);
    if (status == 429 || status == 503)
        return err_set(e, AGW_EUPSTREAM, "it is too busy (HTTP %d)", status);
    return 0;
}

int mcp_era_discovered(const struct mcp_answer *answer, struct mcp_peer *peer, struct err *e)
{
    const struct mcp_message *message = &answer->message;
    int code = refused(answer->status, e);

    if (code != 0)
        return code;
    if (message->whole == NULL)
        return become_legacy(peer);
    if (message->kind == MCP_RESULT)
        return take_discovery(message->result, peer);
    if (message->code == MCP_VERSION_UNSUPPORTED)
        return take_versions(message, peer, e);
    if (message->code == MCP_HEADER_MISMATCH)
        return err_set(e, AGW_EUPSTREAM, "it says that headers and message do not agree: %.200s",
                       message->text);
    return become_legacy(peer);
}

static bool is_visible(const char *id)
{
    for (; *id != '\0'; id++)
        if (*id < '!' || *id > '~')
            return false;
    return true;
}

int mcp_era_initialized(const struct mcp_answer *answer, struct mcp_peer *peer, struct err *e)
{
    const struct mcp_message *message = &answer->message;
    const char *version;
    int code = refused(answer->status, e);

    if (code != 0)
        return code;
    if (message->whole == NULL)
        return err_set(e, AGW_EUPSTREAM, "no MCP server answers there (HTTP %d)",
                       answer->status);
    if (message->kind == MCP_ERROR)
        return err_set(e, AGW_EUPSTREAM, "it refuses to begin: %.200s (%lld)", message->text,
                       (long long)message->code);
    version = json_string_value(json_object_get(message->result, "protocolVersion"));
    if (version == NULL || !is_legacy_version(version)) {
        err_set(e, AGW_EUPSTREAM, "it speaks the revision %.40s of the protocol, which this "
                "gateway does not know", version == NULL ? "(none)" : version);
        return cleaned(AGW_EUPSTREAM, e);
    }
    if (!is_visible(answer->session_id))
        return err_set(e, AGW_EUPSTREAM, "its session id has characters that it may not have");
    *peer = (struct mcp_peer){.era = MCP_LEGACY};
    snprintf(peer->version, sizeof peer->version, "%s", version);
    snprintf(peer->session_id, sizeof peer->session_id, "%s", answer->session_id);
    keep_server(peer, json_object_get(message->result, "serverInfo"));
    peer->tells_changes = tells_changes(message->result);
    return 0;
}

enum mcp_agreement mcp_era_agreement(const struct mcp_peer *peer,
                                     const struct mcp_answer *answer)
{
    const struct mcp_message *message = &answer->message;
    bool is_error = message->whole != NULL && message->kind == MCP_ERROR;
    bool is_general = is_error && message->code == MCP_SERVER_ERROR;

    if (peer->era == MCP_MODERN) {
        if (is_error && message->code == MCP_VERSION_UNSUPPORTED)
            return MCP_LOST;
        return answer->status == 400 && (!is_error || is_general) ? MCP_DOUBTED : MCP_KEPT;
    }
    if (peer->session_id[0] == '\0')
        return MCP_KEPT;
    return answer->status == 404 || (answer->status == 400 && is_general) ? MCP_LOST : MCP_KEPT;
}
