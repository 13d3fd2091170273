# SPDX-License-Identifier: MIT
"""The process that agw-runner starts for one module. Nothing here is for agents."""
