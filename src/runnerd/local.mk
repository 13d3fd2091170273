# SPDX-License-Identifier: MIT
sbin_PROGRAMS += agw-runner
agw_runner_SOURCES = src/runnerd/main.c
agw_runner_LDADD = $(AGW_LIBS)
dist_man_MANS += doc/man/agw-runner.8
EXTRA_DIST += contrib/systemd/agw-runner.service

libagw_a_SOURCES += \
  src/runnerd/allow.c src/runnerd/allow.h \
  src/runnerd/descriptors.c src/runnerd/descriptors.h \
  src/runnerd/discover.c src/runnerd/discover.h \
  src/runnerd/discover_files.c src/runnerd/discover_files.h src/runnerd/discover_named.c \
  src/runnerd/event.c src/runnerd/event.h \
  src/runnerd/host.c src/runnerd/host.h \
  src/runnerd/host_state.h src/runnerd/host_talk.c \
  src/runnerd/host_output.c src/runnerd/host_output.h \
  src/runnerd/identity.c src/runnerd/identity.h \
  src/runnerd/kept.c src/runnerd/kept.h \
  src/runnerd/listing.c src/runnerd/listing.h \
  src/runnerd/memory.c src/runnerd/memory.h \
  src/runnerd/module_due.c src/runnerd/module_opens.c \
  src/runnerd/module_process.c src/runnerd/module_state.h \
  src/runnerd/modules.c src/runnerd/modules.h \
  src/runnerd/node_channel.c src/runnerd/node_channel.h \
  src/runnerd/offer.c src/runnerd/offer.h \
  src/runnerd/packages.c src/runnerd/packages.h \
  src/runnerd/problem.c src/runnerd/problem.h \
  src/runnerd/server.c src/runnerd/server.h \
  src/runnerd/service.c src/runnerd/service.h \
  src/runnerd/spawn.c src/runnerd/spawn.h \
  src/runnerd/watch.c src/runnerd/watch.h

unit_tests += tests/unit/test_runnerd_allow tests/unit/test_runnerd_discover \
  tests/unit/test_runnerd_identity tests/unit/test_runnerd_kept tests/unit/test_runnerd_offer \
  tests/unit/test_runnerd_output tests/unit/test_runnerd_watch
tests_unit_test_runnerd_allow_SOURCES = tests/unit/test_runnerd_allow.c
tests_unit_test_runnerd_discover_SOURCES = tests/unit/test_runnerd_discover.c
tests_unit_test_runnerd_identity_SOURCES = tests/unit/test_runnerd_identity.c
tests_unit_test_runnerd_kept_SOURCES = tests/unit/test_runnerd_kept.c
tests_unit_test_runnerd_offer_SOURCES = tests/unit/test_runnerd_offer.c
tests_unit_test_runnerd_output_SOURCES = tests/unit/test_runnerd_output.c
tests_unit_test_runnerd_watch_SOURCES = tests/unit/test_runnerd_watch.c
