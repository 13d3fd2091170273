# SPDX-License-Identifier: MIT
check_PROGRAMS = $(unit_tests)
TESTS = $(unit_tests)
