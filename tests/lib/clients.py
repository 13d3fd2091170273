# SPDX-License-Identifier: MIT
"""The official OpenAI clients for Python and JavaScript behind one small face.

Both answer with the same kind of dict, so that one table of cases drives both:
    ok        whether the call succeeded
    text      the body's JSON (completions, models)
    payloads  the chunks' JSON, "[DONE]" appended when the stream ended without an exception
    error     {"class", "status", "code", "type", "param", "message", "request_id"}
"""
import json
import os
import subprocess

import openai

import env


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

    def stop(self):
        pass


class NodeClient:
    name = "node"

    def __init__(self, directory):
        node = env.NODE_ROOT.parent / "venv" / "bin" / "node"
        script = env.SOURCE / "tests" / "lib" / "node" / "client.mjs"
        self.log = open(os.path.join(directory, "node.stderr"), "ab")
        self.process = subprocess.Popen(
            [str(node), str(script), str(env.NODE_ROOT)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.log, text=True)

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
