# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/api/admin.c \
  src/api/audit_api.c \
  src/api/chat.c \
  src/api/chat_request.c src/api/chat_request.h \
  src/api/chat_shape.c src/api/chat_shape.h \
  src/api/chat_stream.c src/api/chat_stream.h \
  src/api/context.c src/api/context.h \
  src/api/cors.c src/api/cors.h \
  src/api/decision_json.c src/api/decision_json.h \
  src/api/derive.c src/api/derive.h \
  src/api/dropin_news.c src/api/dropin_news.h \
  src/api/fields.c src/api/fields.h \
  src/api/handlers.h \
  src/api/health.c \
  src/api/housekeeping.c src/api/housekeeping.h \
  src/api/json_values.c src/api/json_values.h \
  src/api/metrics_api.c \
  src/api/models.c \
  src/api/openapi.c src/api/openapi.h \
  src/api/outcome.c src/api/outcome.h \
  src/api/key_terms.c src/api/key_terms.h \
  src/api/keys_api.c \
  src/api/override_terms.c src/api/override_terms.h \
  src/api/overrides_api.c \
  src/api/refresh.c src/api/refresh.h \
  src/api/routes.c src/api/routes.h \
  src/api/security.c \
  src/api/spend.c src/api/spend.h \
  src/api/steps.c src/api/steps.h

# What doc/API.md says of each endpoint.
nodist_libagw_a_SOURCES += src/api/endpoint_texts.c
CLEANFILES += src/api/endpoint_texts.c src/api/endpoint_texts.c.tmp
src/api/endpoint_texts.c: doc/API.md src/api/embed_endpoints.awk
	$(AM_V_at)$(MKDIR_P) src/api
	$(AM_V_GEN)$(AWK) -f $(srcdir)/src/api/embed_endpoints.awk $(srcdir)/doc/API.md > $@.tmp \
	  && mv $@.tmp $@
EXTRA_DIST += src/api/embed_endpoints.awk

unit_tests += tests/unit/test_api_openapi
tests_unit_test_api_openapi_SOURCES = tests/unit/test_api_openapi.c

unit_tests += tests/unit/test_api_wire
tests_unit_test_api_wire_SOURCES = tests/unit/test_api_wire.c
unit_tests += tests/unit/test_api_routes
tests_unit_test_api_routes_SOURCES = tests/unit/test_api_routes.c
EXTRA_DIST += tests/cases/wire/requests.json tests/cases/wire/completions.json \
  tests/cases/wire/chunks.json
unit_tests += tests/unit/test_api_derive
tests_unit_test_api_derive_SOURCES = tests/unit/test_api_derive.c tests/lib/build_config.c \
  tests/lib/build_config.h $(inject)
tests_unit_test_api_derive_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_api_derive_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)
