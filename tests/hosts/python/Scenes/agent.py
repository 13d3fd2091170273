# SPDX-License-Identifier: MIT
"""The agents of tests/cases/hosts/scenarios.yaml, in Python."""
import asyncio
import sys
import time
from dataclasses import dataclass

from openai import AsyncOpenAI
from openai.types.responses import (Response, ResponseCompletedEvent, ResponseOutputMessage,
                                    ResponseOutputText)
from pydantic import BaseModel

from agents import (Agent, AgentHooks, GuardrailFunctionOutput, Model, ModelProvider, ModelResponse,
                    ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, RunConfig,
                    Runner, RunContextWrapper, Usage, function_tool, handoff, input_guardrail,
                    output_guardrail)
from helper import weather
from sdk_adapter.gateway_tools import use_gateway_tool

__gateway__ = {"display_name": "Scenes", "description": "Agents of the tests."}


@function_tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@function_tool
async def slow(number: int) -> str:
    """Takes a while; the number 99 takes half a minute."""
    await asyncio.sleep(30 if number == 99 else 0.3)
    return f"slow {number}"


@function_tool
def fails() -> str:
    """Fails."""
    raise ValueError("out of order")


@function_tool(failure_error_function=None)
def breaks() -> str:
    """Fails, and the run with it."""
    raise ValueError("a secret of the agent")


@function_tool
def leaves() -> str:
    """Wants to end the process."""
    sys.exit(3)


@function_tool
def who(ctx: RunContextWrapper) -> str:
    """Says who asks."""
    return f"{ctx.context.user} {ctx.context['request_id']}"


agent = Agent(name="Tools", instructions="You are Tools.",
              tools=[add, weather, slow, fails, breaks, leaves, who])

# ---- handoffs ----

poet = Agent(name="Poet", instructions="You are Poet.", handoff_description="Writes poems.",
             tools=[add])
triage = Agent(name="Triage", instructions="You are Triage.", handoffs=[poet, handoff(agent)])


# ---- structured output ----

class Event(BaseModel):
    name: str
    guests: list[str]


structured = Agent(name="Structured", instructions="You are Structured.", output_type=Event)
numbers = Agent(name="Numbers", instructions="You are Numbers.", output_type=list[int])


@dataclass
class Place:
    name: str
    beds: int | None = None


class Reply(BaseModel):
    response: str


place = Agent(name="Place", instructions="You are Place.", output_type=Place)
either = Agent(name="Either", instructions="You are Either.", output_type=Event | Place)
reply = Agent(name="Reply", instructions="You are Reply.", output_type=Reply)


# ---- guardrails ----

@input_guardrail
async def no_magic(ctx, agent, input):
    text = input if isinstance(input, str) else str(input)
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered="magic" in text)


@output_guardrail
async def no_gold(ctx, agent, output):
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered="gold" in str(output))


guarded = Agent(name="Guarded", instructions="You are Guarded.", input_guardrails=[no_magic],
                output_guardrails=[no_gold])


class Verdict(BaseModel):
    homework: bool


judge = Agent(name="Judge", instructions="You are Judge.", output_type=Verdict)


@input_guardrail
async def no_homework(ctx, agent, input):
    result = await Runner.run(judge, input, context=ctx.context)
    return GuardrailFunctionOutput(output_info=None,
                                   tripwire_triggered=result.final_output.homework)


judged = Agent(name="Judged", instructions="You are Judged.", input_guardrails=[no_homework])


# ---- hooks, settings, dynamic instructions ----

class Hooks(AgentHooks):
    async def on_start(self, context, agent):
        print("hook: start")

    async def on_tool_end(self, context, agent, tool, result):
        print(f"hook: {tool.name} gave {result}")


hooked = Agent(name="Hooked", instructions=lambda ctx, agent: f"You serve {ctx.context.user}.",
               tools=[add], hooks=Hooks(), model_settings=ModelSettings(temperature=0.5, top_p=0.9))
failing = Agent(name="Failing", instructions=lambda ctx, agent: ctx.context.nobody.name)

# ---- agents as tools, tools of the gateway, tools that end the run ----

helped = Agent(name="Helped", instructions="You are Helped.", tools=[
    poet.as_tool("write_poem", "Writes a poem.")])
gateway = Agent(name="Gateway", instructions="You are Gateway.", tools=[
    use_gateway_tool("files.read"), use_gateway_tool("secret.tool")])
stopping = Agent(name="Stopping", instructions="You are Stopping.", tools=[add],
                 tool_use_behavior="stop_on_first_tool")


def build_agent(context):
    return Agent(name="Built", instructions=f"You are built for {context.get('user')}.")


# ---- models that the code names ----

big = Agent(name="Big", instructions="You are Big.", model="big")
small = Agent(name="Small", instructions="You are Small.", model="small", handoffs=[big, poet])
own_chat = Agent(name="OwnChat", instructions="You are OwnChat.", tools=[add],
                 model=OpenAIChatCompletionsModel(model="own", openai_client=AsyncOpenAI()))
own_responses = Agent(name="OwnResponses", instructions="You are OwnResponses.", tools=[add],
                      model=OpenAIResponsesModel(model="own", openai_client=AsyncOpenAI()))


class Canned(Model):
    """A class of the module's own, as adapters for other providers are."""

    def __init__(self, text="From a can."):
        self.text = text

    async def get_response(self, system_instructions, input, *args, **kwargs):
        text = ResponseOutputText(type="output_text", text=self.text, annotations=[])
        return ModelResponse(output=[ResponseOutputMessage(
            id="m", type="message", role="assistant", status="completed", content=[text])],
            usage=Usage(), response_id=None)

    async def stream_response(self, *args, **kwargs):
        answer = await self.get_response(*args, **kwargs)
        yield ResponseCompletedEvent(type="response.completed", sequence_number=0, response=Response(
            id="r", created_at=0, model="can", object="response", output=answer.output, tools=[],
            tool_choice="auto", parallel_tool_calls=False))


canned = Agent(name="Canned", model=Canned())
to_canned = Agent(name="ToCanned", instructions="You are ToCanned.", handoffs=[canned])


class Canning:
    async def run(self, input, context):
        return await Runner.run(poet, input, context=context,
                                run_config=RunConfig(model=Canned()))


canning = Canning()


class Canner(ModelProvider):
    def get_model(self, model_name):
        return Canned(f"From a can of {model_name}.")


class Providing:
    async def run(self, input, context):
        return await Runner.run(small, input, context=context,
                                run_config=RunConfig(model_provider=Canner()))


providing = Providing()


class Streaming:
    async def run(self, input, context):
        return Runner.run_streamed(small, input, context=context)


streaming = Streaming()


class Responding:
    async def run(self, input):
        return (await AsyncOpenAI().responses.create(model="own", input=input)).output_text


responding = Responding()


# ---- blocking code ----

@function_tool
async def blocks(seconds: float) -> str:
    """Keeps the event loop."""
    time.sleep(seconds)
    return "done"


@function_tool
async def stubborn() -> str:
    """Does not want to be cancelled."""
    for _ in range(3):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            print("still here")
    return "done"


blocking = Agent(name="Blocking", instructions="You are Blocking.", tools=[blocks, stubborn])
