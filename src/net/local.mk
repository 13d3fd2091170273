# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/net/http_address.c src/net/http_address.h \
  src/net/http_client.c src/net/http_client.h \
  src/net/http_pool.c src/net/http_pool.h \
  src/net/http_tls.c src/net/http_tls.h \
  src/net/http_wait.c src/net/http_wait.h \
  src/net/listen.c src/net/listen.h \
  src/net/sse_parse.c src/net/sse_parse.h

unit_tests += tests/unit/test_net_sse_parse
tests_unit_test_net_sse_parse_SOURCES = tests/unit/test_net_sse_parse.c
http_scene_sources = tests/lib/http_scene.c tests/lib/http_scene.h \
  tests/lib/mock_http.c tests/lib/mock_http.h

unit_tests += tests/unit/test_net_listen
tests_unit_test_net_listen_SOURCES = tests/unit/test_net_listen.c $(fcgi_client)

unit_tests += tests/unit/test_net_http_address
tests_unit_test_net_http_address_SOURCES = tests/unit/test_net_http_address.c
EXTRA_DIST += tests/cases/net/addresses.txt

unit_tests += tests/unit/test_net_http_reach
tests_unit_test_net_http_reach_SOURCES = tests/unit/test_net_http_reach.c $(http_scene_sources)
tests_unit_test_net_http_reach_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_net_http_client
tests_unit_test_net_http_client_SOURCES = tests/unit/test_net_http_client.c $(http_scene_sources)
tests_unit_test_net_http_client_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_net_http_wait
tests_unit_test_net_http_wait_SOURCES = tests/unit/test_net_http_wait.c $(http_scene_sources)
tests_unit_test_net_http_wait_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_net_http_tls
tests_unit_test_net_http_tls_SOURCES = tests/unit/test_net_http_tls.c

EXTRA_DIST += tests/cases/sse/transcripts.json
