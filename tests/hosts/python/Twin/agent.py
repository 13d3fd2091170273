# SPDX-License-Identifier: MIT
"""The agent of test_transcripts.py, in Python."""
from agents import Agent, function_tool, handoff


@function_tool
def price(item: str) -> str:
    """What an item costs."""
    return f"{item}: {len(item)} euros"


till = Agent(name="Till", instructions="You are the till.", tools=[price])
agent = Agent(name="Shop", instructions="You are the shop.", tools=[price],
              handoffs=[handoff(till, tool_name_override="pay",
                                tool_description_override="Hands over to the till.")])
