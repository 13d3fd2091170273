# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/http/acceptor.c src/http/acceptor.h \
  src/http/fcgi.c src/http/fcgi.h \
  src/http/pool.c src/http/pool.h \
  src/http/records.c src/http/records.h \
  src/http/refusal.c src/http/refusal.h \
  src/http/request.c src/http/request.h \
  src/http/response.c src/http/response.h \
  src/http/server.c src/http/server.h \
  src/http/siblings.c src/http/siblings.h \
  src/http/sse_write.c src/http/sse_write.h \
  src/http/uri.c src/http/uri.h \
  src/http/waiter.c src/http/waiter.h

fcgi_client = tests/lib/fcgi_client.c tests/lib/fcgi_client.h
unit_tests += tests/unit/test_http_request tests/unit/test_http_response \
  tests/unit/test_http_uri
tests_unit_test_http_request_SOURCES = tests/unit/test_http_request.c $(fcgi_client)
tests_unit_test_http_response_SOURCES = tests/unit/test_http_response.c $(fcgi_client)
tests_unit_test_http_uri_SOURCES = tests/unit/test_http_uri.c
EXTRA_DIST += tests/cases/http/targets.txt
unit_tests += tests/unit/test_http_pool tests/unit/test_http_server
tests_unit_test_http_pool_SOURCES = tests/unit/test_http_pool.c
count_entries = tests/lib/count_entries.c tests/lib/count_entries.h
tests_unit_test_http_server_SOURCES = tests/unit/test_http_server.c $(fcgi_client) $(count_entries)
