"""Makes calls with OpenAI's SDK, for test_model_server_openai: one JSON object a line, in and out.

A program for an environment that has the package `openai`; nothing of ours is imported. The address is the
first argument. `stop_after` leaves a stream after so many chunks, as a user does who closes the page.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import openai


def call(client: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Make one call; return what a program that uses the SDK would see."""
    method = client
    for name in asked["method"].split("."):
        method = getattr(method, name)
    try:
        answer = method(**asked.get("with", {}))
        if not asked.get("with", {}).get("stream"):
            return {"answer": answer.model_dump()}
        chunks = []
        with answer as stream:
            for chunk in stream:
                chunks.append(chunk.model_dump())
                if len(chunks) == asked.get("stop_after"):
                    break
    except openai.APIStatusError as error:
        about = {name: getattr(error, name) for name in ("status_code", "message", "param", "type", "code")}
        return {"error": type(error).__name__, **about}
    return {"chunks": chunks}


def main() -> None:
    """Answer each line of stdin."""
    client = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none", max_retries=0, timeout=30)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(call(client, json.loads(line))) + "\n")


if __name__ == "__main__":
    main()
