# SPDX-License-Identifier: MIT
EXTRA_DIST += \
  .ci/run contrib/quickstart \
  .clang-tidy contrib/ci/analyze contrib/ci/check contrib/ci/compile-commands \
  contrib/ci/coverage contrib/ci/fuzz-libraries \
  contrib/ci/tidy contrib/ci/try-quickstart \
  contrib/lint/banned contrib/lint/documents contrib/lint/floors contrib/lint/headers \
  contrib/lint/heads contrib/lint/leftovers contrib/lint/lengths contrib/lint/manuals \
  contrib/lint/planted contrib/lint/private contrib/lint/run contrib/lint/shell contrib/lint/tree.py

# The rules that the source tree keeps; tests/lint proves that each rule bites.
lint:
	$(AM_V_at)CC="$(CC)" CPPFLAGS="$(AM_CFLAGS_LINT)" $(srcdir)/contrib/lint/run $(srcdir)
.PHONY: lint

AM_CFLAGS_LINT = $(FCGI_CFLAGS) $(YAML_CFLAGS) $(JANSSON_CFLAGS) $(CURL_CFLAGS) \
  $(SQLITE_CFLAGS) $(CRYPTO_CFLAGS)

# For clangd and clang-tidy; automake's SOURCES are those of every program.
compile_commands.json: export AGW_COMPILE = $(COMPILE)
compile_commands.json: Makefile
	$(AM_V_GEN)$(srcdir)/contrib/ci/compile-commands '$(abs_builddir)' '$(abs_srcdir)' \
	  $(SOURCES) > $@.tmp && mv $@.tmp $@
CLEANFILES += compile_commands.json

# gcc's and clang's analysers over the program's own code: no finding passes.
agw_analyzed = $(sort $(filter-out %_sql.c %_texts.c,$(filter src/%.c,$(SOURCES))))
analyze: export AGW_COMPILE = $(COMPILE)
analyze: $(BUILT_SOURCES)
	$(AM_V_GEN)$(srcdir)/contrib/ci/analyze $(addprefix $(srcdir)/,$(agw_analyzed))
tidy: export AGW_CPPFLAGS = $(DEFS) $(DEFAULT_INCLUDES) $(INCLUDES) $(AM_CPPFLAGS) $(CPPFLAGS) \
  $(AM_CFLAGS_LINT)
tidy: $(BUILT_SOURCES)
	$(AM_V_GEN)$(srcdir)/contrib/ci/tidy $(addprefix $(srcdir)/,$(agw_analyzed))
# A build of its own in coverage/, and the bounds that it must keep.
coverage:
	$(srcdir)/contrib/ci/coverage coverage
print-unit-tests:
	@echo $(unit_tests)
.PHONY: analyze tidy coverage print-unit-tests

# The samples become the configuration, but never over files that are there.
agw_samples = conf/agents.yaml conf/gateway.yaml conf/security.yaml conf/tools.yaml \
  conf/upstreams.yaml
nobase_dist_doc_DATA += $(agw_samples) contrib/apache/agent-gateway.conf \
  contrib/lighttpd/agent-gateway.conf contrib/nginx/agent-gateway.conf \
  contrib/systemd/agent-gateway.service contrib/systemd/agent-gateway.socket \
  contrib/systemd/agent-gateway-tools.conf \
  contrib/systemd/agent-gateway-nightly.service contrib/systemd/agent-gateway-nightly.timer \
  contrib/cron/agent-gateway-nightly
confdir = $(sysconfdir)/agent-gateway

# The tools of the samples; a link in the folder of the configuration leads to them.
sampletoolsdir = $(pkgdatadir)/agents/tools
dist_sampletools_SCRIPTS = agents/tools/calculate agents/tools/summarize
dist_sampletools_DATA = agents/tools/input.pl

# What cron, a timer, CI or an operator calls.
nightlydir = $(pkgdatadir)/contrib
dist_nightly_SCRIPTS = contrib/build-agent contrib/nightly-audit contrib/install-agent-deps

# For people with a sqlite3 shell; the list is that of src/store/local.mk.
queriesdir = $(pkgdatadir)/sql/queries
queries_DATA = $(sql_queries)

install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(confdir)'
	for sample in $(agw_samples); do \
	  target='$(DESTDIR)$(confdir)'/$${sample#conf/}; \
	  if test -e "$$target"; then echo "$$target is kept"; \
	  else $(INSTALL) -m 0640 '$(srcdir)'/$$sample "$$target"; fi || exit 1; \
	done
	test -e '$(DESTDIR)$(confdir)/agents' || test -L '$(DESTDIR)$(confdir)/agents' || \
	  ln -s '$(pkgdatadir)/agents' '$(DESTDIR)$(confdir)/agents'

# What was edited stays.
uninstall-local:
	for sample in $(agw_samples); do \
	  target='$(DESTDIR)$(confdir)'/$${sample#conf/}; \
	  if cmp -s '$(srcdir)'/$$sample "$$target"; then rm -f "$$target"; fi; \
	done
	if test -L '$(DESTDIR)$(confdir)/agents'; then rm -f '$(DESTDIR)$(confdir)/agents'; fi
	rmdir '$(DESTDIR)$(confdir)' 2>/dev/null || true
