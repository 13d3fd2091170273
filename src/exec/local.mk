# SPDX-License-Identifier: MIT
agwlibexecdir = $(libexecdir)/agent-gateway
agwlibexec_PROGRAMS = agw-exec
agw_exec_SOURCES = src/exec/main.c src/exec/keep.c src/exec/keep.h
dist_man_MANS += doc/man/agw-exec.8
agw_exec_LDADD = libagw.a $(JANSSON_LIBS)
