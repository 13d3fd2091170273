# SPDX-License-Identifier: MIT
"""The text of an answer, whole or as it comes: texts of several turns are one answer."""
import json

GAP = "\n\n"


class Answer:
    """Text that is passed on while the model writes it, or kept back until its turn's end."""

    def __init__(self, run, streaming):
        self.run, self.streaming = run, streaming
        self.whole = False      # JSON: it is passed on at the end, and only the last turn's
        self.texts = []         # of the turns that are over
        self._turn = ""         # of the one that is not
        self._sent = ""

    async def write(self, text):
        if not text:
            return
        gap = GAP if not self._turn and any(self.texts) else ""
        self._turn += text
        if self.streaming and not self.whole:
            self._sent += gap + text
            await self.run.delta(content=gap + text)

    def turn_ends(self):
        if self._turn:
            self.texts.append(self._turn)
            self._turn = ""

    async def finish(self, output):
        """The last text; it may have been written already. -> the whole answer."""
        self.turn_ends()
        if self.whole:
            answer = output
        elif self.texts and self.texts[-1] == output:
            answer = GAP.join(self.texts)
        else:
            answer = GAP.join([*self.texts, output] if output else self.texts)
        if self.streaming and answer != self._sent:
            rest = answer[len(self._sent):] if answer.startswith(self._sent) else GAP + output
            if rest:
                await self.run.delta(content=rest)
        return answer


def to_text(value):
    """str as it is, anything else as JSON text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if hasattr(value, "model_dump_json"):
        return value.model_dump_json()
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        from pydantic_core import to_json

        return to_json(value, fallback=str).decode()


def of_completion(run, value):
    """What a chat completion (dict or the client's object) says: fields of run.done."""
    choice = (value.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    last = {"output": message.get("content") or "",
            "finish_reason": choice.get("finish_reason") or "stop"}
    if message.get("refusal"):
        last["refusal"] = message["refusal"]
    return last
