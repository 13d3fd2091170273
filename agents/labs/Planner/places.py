# SPDX-License-Identifier: MIT
"""A helper module beside agent.py: what the planner knows."""

PLACES = {
    "lisbon": {"sights": "the tower of Belem, the Alfama, tram 28", "cost": 110},
    "oslo": {"sights": "the opera's roof, the Fram museum, Vigeland park", "cost": 190},
    "rome": {"sights": "the Forum, the Pantheon, Trastevere", "cost": 130},
    "vienna": {"sights": "the Hofburg, the Prater, the coffee houses", "cost": 140},
}
