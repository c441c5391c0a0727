"""OpenAI's own SDK talks to the server: answers, streams, usage, errors, and a user who leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from model_server.parameters import NOT_SIMULATED, WITHOUT_EFFECT

from localcluster import polling, spawn
from tests.model_server.unit.test_model_server_http import FAST, MODEL, Server, started
from tests.oracles.environment import python_with

CALLS = Path(__file__).with_name("openai_calls.py")
CHAT, COMPLETIONS = "chat.completions.create", "completions.create"
HELLO: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
ONCE: dict[str, Any] = {"model": MODEL, "prompt": "once upon a time"}
REFUSED: dict[str, Any] = {
    # a value for each parameter of `NOT_SIMULATED`, as the SDK or vLLM's documentation has it
    "allowed_token_ids": [1],
    "bad_words": ["no"],
    "best_of": 2,
    "chat_template": "{{ messages }}",
    "continue_final_message": True,
    "documents": [{"title": "a", "text": "b"}],
    "echo": True,
    "functions": [{"name": "f"}],
    "kv_transfer_params": {"do_remote_decode": True},
    "logit_bias": {"50256": -100},
    "logprobs": 0,
    "n": 2,
    "priority": 1,
    "prompt_embeds": "AAAA",
    "prompt_logprobs": 0,
    "repetition_detection": {"max_pattern_size": 4},
    "response_format": {"type": "json_object"},
    "return_token_ids": True,
    "return_tokens_as_token_ids": True,
    "stop": ["\n"],
    "stop_token_ids": [2],
    "stream_interval": 4,
    "structured_outputs": {"regex": "a+"},
    "suffix": "the end",
    "tool_choice": "auto",
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "top_logprobs": 3,
    "truncate_prompt_tokens": 5,
    "use_beam_search": True,
}


@dataclass(frozen=True)
class Sdk:
    """The SDK in its own environment."""

    python: str
    server: Server

    def ask(self, *calls: dict[str, Any]) -> list[dict[str, Any]]:
        """What it returned or raised for each call."""
        text = "".join(json.dumps(one) + "\n" for one in calls)
        url = str(self.server.http.base_url)
        done = spawn.run([self.python, CALLS, url], stdin=text, seconds=60)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ask_one(self, method: str, stop_after: int = 0, **arguments: Any) -> dict[str, Any]:
        (found,) = self.ask({"method": method, "with": arguments, "stop_after": stop_after})
        return found


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdk]:
    folder = tmp_path_factory.mktemp("openai")
    python = python_with("openai>=2,<4", folder=folder / "venv")
    with started(folder / "server", FAST, "--simulated-gpu", "NVIDIA-L4") as running:
        polling.until(running.ready, "the server to be ready", seconds=20, last_seen=running.log.read_text)
        yield Sdk(python, running)


def test_the_one_model_is_listed(sdk: Sdk) -> None:
    (model,) = sdk.ask_one("models.list")["answer"]["data"]
    assert (model["id"], model["object"]) == (MODEL, "model")


@pytest.mark.parametrize(("method", "prompt"), [(CHAT, HELLO), (COMPLETIONS, ONCE)])
def test_a_stream_says_the_same_as_the_whole_answer(sdk: Sdk, method: str, prompt: dict[str, Any]) -> None:
    whole, streamed = sdk.ask(
        {"method": method, "with": {**prompt, "max_tokens": 40}},
        {
            "method": method,
            "with": {**prompt, "max_tokens": 40, "stream": True, "stream_options": {"include_usage": True}},
        },
    )
    (choice,) = whole["answer"]["choices"]
    *chunks, closing = streamed["chunks"]
    parts = [chunk["choices"][0] for chunk in chunks]
    if method == CHAT:
        assert choice["message"]["role"] == parts[0]["delta"]["role"] == "assistant"
        said = [part["delta"]["content"] for part in parts]
        assert "".join(said) == choice["message"]["content"]
    else:
        assert "".join(part["text"] for part in parts) == choice["text"]
    assert parts[-1]["finish_reason"] == choice["finish_reason"] == "length"
    assert {part["finish_reason"] for part in parts[:-1]} <= {None}
    assert whole["answer"]["usage"]["completion_tokens"] == 40
    assert closing["choices"] == []
    assert closing["usage"] == whole["answer"]["usage"]
    assert not any(chunk["usage"] for chunk in chunks), "only the last chunk counts"


def test_a_message_may_come_in_parts_and_limits_go_by_their_new_name(sdk: Sdk) -> None:
    parts = [{"type": "text", "text": "hello"}, {"type": "text", "text": "world"}]
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": parts}]
    found = sdk.ask_one(CHAT, model=MODEL, messages=messages, max_completion_tokens=7)["answer"]
    assert found["usage"]["completion_tokens"] == 7
    assert found["usage"]["prompt_tokens"] > 4


def test_seed_and_sampling_are_taken(sdk: Sdk) -> None:
    seeds = [{"method": CHAT, "with": {**HELLO, "seed": seed, "max_tokens": 20}} for seed in (1, 1, 2)]
    one, again, other = [found["answer"]["choices"][0]["message"] for found in sdk.ask(*seeds)]
    assert one == again != other
    free: dict[str, Any] = {
        "temperature": 0.7,
        "top_p": 0.9,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "user": "me",
    }
    neutral: dict[str, Any] = {
        "n": 1,
        "stop": [],
        "logprobs": False,
        "tool_choice": "none",
        "response_format": {"type": "text"},
    }
    assert sdk.ask_one(CHAT, **HELLO, **free, **neutral)["answer"]["choices"][0]["finish_reason"] == "stop"


def test_a_model_that_is_not_there_is_not_found(sdk: Sdk) -> None:
    calls = [(CHAT, HELLO), (COMPLETIONS, ONCE)]
    asked = [{"method": method, "with": prompt | {"model": "gpt-9"}} for method, prompt in calls]
    for found in sdk.ask(*asked):
        assert (found["error"], found["status_code"], found["param"]) == ("NotFoundError", 404, "model")
        assert "gpt-9" in found["message"]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    # the call, what is wrong in it, the parameter that the answer names
    (CHAT, {"messages": []}, "messages"),
    (CHAT, {"messages": [{"role": "user"}]}, "messages"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
    (CHAT, {"max_tokens": 0}, "max_tokens"),
    (CHAT, {"max_completion_tokens": 10_000}, "max_completion_tokens"),
    (CHAT, {"stream_options": {"include_usage": True}}, "stream_options"),
    (CHAT, {"temperature": -1}, "temperature"),
    (CHAT, {"extra_body": {"min_tokens": 9}, "max_tokens": 8}, "min_tokens"),
    (CHAT, {"extra_body": {"ignore_eos": "maybe"}}, "ignore_eos"),
    (COMPLETIONS, {"prompt": ""}, "prompt"),
    (COMPLETIONS, {"prompt": ["a", "b"]}, "prompt"),
    (COMPLETIONS, {"prompt": [1] * 9000}, "prompt"),
    (COMPLETIONS, {"max_tokens": 8190}, "max_tokens"),
    (COMPLETIONS, {"top_p": 0}, "top_p"),
    (COMPLETIONS, {"seed": "x"}, "seed"),
]


def test_what_is_wrong_is_named(sdk: Sdk) -> None:
    asked = [
        {"method": method, "with": (HELLO if method == CHAT else ONCE) | change}
        for method, change, _ in WRONG
    ]
    for (_, change, param), found in zip(WRONG, sdk.ask(*asked), strict=True):
        assert (found["error"], found["status_code"]) == ("BadRequestError", 400), change
        assert (found["param"], found["type"]) == (param, "BadRequestError"), change


def test_a_parameter_is_honoured_or_refused_by_name(sdk: Sdk) -> None:
    assert set(REFUSED) == set(NOT_SIMULATED), "each is tried"
    asked = [
        {"method": CHAT, "with": {**HELLO, "extra_body": {name: value}}} for name, value in REFUSED.items()
    ]
    for name, found in zip(REFUSED, sdk.ask(*asked), strict=True):
        assert found.get("param") == name, found
        assert f"`{name}` is not simulated" in found["message"]
    wild = [{"method": CHAT, "with": {**HELLO, "extra_body": {name: "x"}}} for name in WITHOUT_EFFECT]
    assert [found["param"] for found in sdk.ask(*wild)] == list(WITHOUT_EFFECT)


def test_a_user_who_leaves_ends_the_request(sdk: Sdk) -> None:
    server = sdk.server
    aborted = server.metric("vllm:request_success_total", finished_reason="abort")
    long = {"max_tokens": 8000, "stream": True, "extra_body": {"ignore_eos": True}}
    found = sdk.ask_one(CHAT, stop_after=3, **HELLO, **long)
    assert len(found["chunks"]) == 3
    server.until("vllm:num_requests_running", 0)
    assert server.metric("vllm:request_success_total", finished_reason="abort") == aborted + 1
    assert server.metric("vllm:kv_cache_usage_perc") == 0


def test_other_paths_and_methods_are_refused_in_the_same_shape(sdk: Sdk) -> None:
    for method, path, status in (("GET", "/v1/embeddings", 404), ("GET", "/v1/completions", 405)):
        answer = sdk.server.http.request(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == status
