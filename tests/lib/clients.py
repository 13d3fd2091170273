# SPDX-License-Identifier: MIT
"""The official OpenAI clients for Python and JavaScript behind one small face.

Both answer with the same kind of dict, so that one table of cases drives both:
    ok        whether the call succeeded
    text      the body's JSON (completions, models)
    payloads  the chunks' JSON, "[DONE]" appended when the stream ended without an exception
    parsed    result of the ops "parse" (structured output), "tools" (runs a tool of the
              client's) and "helper" (the clients' own accumulation of a stream)
    error     {"class", "status", "code", "type", "param", "message", "request_id"}
"""
import json
import os
import subprocess

import openai
import pydantic

import env


class Weather(pydantic.BaseModel):
    """What op "parse" asks for as a structured output."""

    city: str
    degrees: int


class PythonClient:
    name = "python"

    def __init__(self, directory=None):
        pass

    def call(self, url, key, op, params=None, retries=0):
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=retries,
                               timeout=30)
        payloads = []
        try:
            with client:
                if op == "list":
                    answer = client.models.with_raw_response.list()
                elif op == "retrieve":
                    answer = client.models.with_raw_response.retrieve(**params)
                elif op == "parse":
                    answer = client.chat.completions.parse(**params, response_format=Weather)
                    return {"ok": True, "parsed": answer.choices[0].message.parsed.model_dump()}
                elif op == "tools":
                    return {"ok": True, "parsed": self._run_tools(client, params)}
                elif op == "helper":
                    with client.chat.completions.stream(**params) as events:
                        for _ in events:
                            pass
                        answer = events.get_final_completion()
                    return {"ok": True, "parsed": answer.choices[0].message.content}
                elif params.get("stream"):
                    for chunk in client.chat.completions.create(**params):
                        payloads.append(json.dumps(chunk.to_dict(mode="json")))
                    return {"ok": True, "payloads": [*payloads, "[DONE]"]}
                else:
                    answer = client.chat.completions.with_raw_response.create(**params)
                answer.parse()
                return {"ok": True, "text": answer.text}
        except openai.APIError as error:
            return {"ok": False, "payloads": payloads, "error": {
                "class": type(error).__name__, "status": getattr(error, "status_code", None),
                "code": error.code, "type": error.type, "param": error.param,
                "message": error.message, "request_id": getattr(error, "request_id", None)}}

    @staticmethod
    def _run_tools(client, params):
        """What runTools of the JavaScript client does."""
        messages = list(params["messages"])
        tools = [{"type": "function", "function": {
            "name": "weather", "parameters": {"type": "object", "properties": {
                "city": {"type": "string"}}}}}]
        while True:
            answer = client.chat.completions.create(
                model=params["model"], messages=messages, tools=tools)
            message = answer.choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message)
            for call in message.tool_calls:
                city = json.loads(call.function.arguments)["city"]
                messages.append({"role": "tool", "tool_call_id": call.id,
                                 "content": f"{city} is sunny"})

    def stop(self):
        pass


class NodeClient:
    name = "node"

    def __init__(self, directory, script="client.mjs"):
        node = env.NODE_ROOT.parent / "venv" / "bin" / "node"
        text = (env.SOURCE / "tests" / "lib" / "node" / script).read_text()
        self.log = open(os.path.join(directory, "node.stderr"), "ab")
        # As text, because imports are looked up beside the module, or else where node runs.
        self.process = subprocess.Popen(
            [str(node), "--input-type=module", "-e", text], cwd=env.NODE_ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def call(self, url, key, op, params=None, retries=0):
        wish = {"url": url, "key": key, "op": op, "params": params, "retries": retries}
        self.process.stdin.write(json.dumps(wish) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()
