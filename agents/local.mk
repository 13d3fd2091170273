# SPDX-License-Identifier: MIT
# Sample agents: documentation to copy from, and what the quickstart serves.
nobase_dist_doc_DATA += \
  agents/Clock/agent.c \
  agents/Poet/agent.mjs agents/Poet/package.json agents/Poet/rhymes.mjs \
  agents/SampleAgent/agent.py agents/SampleAgent/requirements.txt \
  agents/labs/Planner/agent.py agents/labs/Planner/places.py \
  agents/labs/Planner/requirements.txt

# In a source tree `make` builds those in C, as contrib/build-agent does for anybody's.
noinst_DATA = agents/Clock/agent.so
agents/Clock/agent.so: agents/Clock/agent.c src/runnerd/native/agent_gateway/agent.h \
		contrib/build-agent
	$(AM_V_GEN)$(MKDIR_P) agents/Clock && \
	  CC='$(CC)' $(srcdir)/contrib/build-agent --output $@ $(srcdir)/agents/Clock
CLEANFILES += agents/Clock/agent.so
