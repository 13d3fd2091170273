# SPDX-License-Identifier: MIT
"""Plans short trips: a guardrail, a handoff, and a tool that the gateway runs.

Served as travel/planner: the folder around it would make that labs/planner, but `__gateway__`
says otherwise. `calculate` is an entry of tools.yaml (agents/tools/calculate): policy
decides for each key whether this agent may call it. Where it may not, the model is not told of
it, and the budget is only estimated.
"""
from agents import Agent, GuardrailFunctionOutput, function_tool, input_guardrail

from agent_gateway import use_gateway_tool
from places import PLACES

__gateway__ = {
    "namespace": "travel",
    "display_name": "Trip planner",
    "description": "Plans a trip of a few days and says what it costs.",
}

MAX_DAYS = 14


@function_tool
def look_up_place(name: str) -> str:
    """What is worth a visit in a city, and what a day there costs.

    Args:
        name: The city, in English.
    """
    place = PLACES.get(name.strip().lower())
    if place is None:
        return f"Nothing is known of {name}. Known cities: {', '.join(sorted(PLACES))}."
    return f"{name}: {place['sights']}. A day costs about {place['cost']} euros."


@input_guardrail
def no_bookings(context, agent, request):
    """This agent plans; it must not seem to buy anything. A plain check, without a model."""
    text = request if isinstance(request, str) else str(request[-1].get("content", ""))
    wants_to_buy = any(word in text.lower() for word in ("book ", "buy ", "pay "))
    return GuardrailFunctionOutput(output_info={"bookings": wants_to_buy},
                                   tripwire_triggered=wants_to_buy)


# With a global name of its own it would be served too: a leading underscore keeps it in here.
_budget = Agent(
    name="Budget",
    handoff_description="Works out what a planned trip costs.",
    instructions=(
        "You get a plan of a trip. Work out its cost with the tool calculate, and answer with "
        "the plan in a few lines and the total in euros. Without that tool give an estimate, "
        "and say that it is one."
    ),
    tools=[use_gateway_tool("calculate")],
)

agent = Agent(
    name="Planner",
    instructions=(
        f"You plan trips of at most {MAX_DAYS} days. Look each city up before you write about "
        "it. When the plan stands, hand over to Budget."
    ),
    tools=[look_up_place],
    handoffs=[_budget],
    input_guardrails=[no_bookings],
)
