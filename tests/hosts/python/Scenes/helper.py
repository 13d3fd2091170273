# SPDX-License-Identifier: MIT
"""A helper module beside agent.py, as people write them."""
from agents import function_tool


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    print("looking at", city)
    return f"{city}: sunny"
