# SPDX-License-Identifier: MIT
"""Starts the host of one Python module: agw-runner runs this file.

Started with -I, so that neither the environment nor the working folder decides what is imported.
"""
import sys

if __name__ == "__main__":
    # Behind everything else: an agent's own packages come first, as they do without us.
    sys.path.append(__file__.rpartition("/")[0])
    from agent_gateway.host.control import main

    main()
