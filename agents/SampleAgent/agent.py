# SPDX-License-Identifier: MIT
"""Answers questions about dates. The smallest drop-in agent that does something: two tools.

It is served as default/sampleagent as soon as this folder lies in `agents/`.
"""
from datetime import date, timedelta

from agents import Agent, function_tool


@function_tool
def days_between(start: str, end: str) -> str:
    """How many days lie between two dates.

    Args:
        start: The first date, as YYYY-MM-DD.
        end: The second date, as YYYY-MM-DD.
    """
    days = (date.fromisoformat(end) - date.fromisoformat(start)).days
    return f"{days} days"


@function_tool
def add_days(start: str, days: int) -> str:
    """The date a number of days after another one, with its day of the week.

    Args:
        start: The date to count from, as YYYY-MM-DD.
        days: How many days later; negative for earlier.
    """
    return (date.fromisoformat(start) + timedelta(days=days)).strftime("%A, %Y-%m-%d")


agent = Agent(
    name="Calendar",
    instructions=(
        "You answer questions about dates. Never count days yourself: call days_between or "
        "add_days, then answer in one sentence."
    ),
    tools=[days_between, add_days],
)
