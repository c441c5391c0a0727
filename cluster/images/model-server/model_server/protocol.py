"""OpenAI's request and response shapes: what comes in is checked, what goes out is built here.

Refuses, with an error that says so, what cannot be simulated believably: several choices, log probabilities,
stop strings, tools. Sampling parameters are accepted and change nothing, since no model runs.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from model_server import text
from model_server.request import Request

NOT_SIMULATED = ("logprobs", "top_logprobs", "echo", "suffix", "stop", "tools", "response_format", "best_of")
COMPLETION_DEFAULT_TOKENS = 16


class BadRequest(Exception):
    """The request can't be served; becomes OpenAI's error JSON."""

    def __init__(self, message: str, *, status: int = 400, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


@dataclass(frozen=True)
class Generation:
    """A checked request: what the engine needs, and what the answer has to look like."""

    request: Request
    chat: bool
    stream: bool
    include_usage: bool
    usage_in_every_event: bool
    text_seed: int
    model: str
    id: str
    created: int


@dataclass(frozen=True)
class Served:
    """What this server offers: the model's name, its longest sequence, the seed of made-up text."""

    model: str
    max_model_len: int
    seed: int


def error(message: str, *, status: int, kind: str) -> dict[str, Any]:
    """Build OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def parse(body: bytes, *, chat: bool, served: Served) -> Generation:
    """Check a request's body; raises `BadRequest`."""
    data = _object(body)
    model = data.get("model") or served.model
    if model != served.model:
        raise BadRequest(f"The model `{model}` does not exist.", status=404, kind="NotFoundError")
    _refuse_unsupported(data)
    prompt = _chat_prompt(data) if chat else _prompt(data)
    size = len(prompt) if isinstance(prompt, list) else text.count_tokens(prompt)
    seed = text.seed_of(prompt, _integer(data, "seed", served.seed, least=-(2**63)))
    options = data.get("stream_options") or {}
    kind = "chatcmpl" if chat else "cmpl"
    return Generation(
        request=_request(data, size=size, seed=seed, served=served, chat=chat),
        chat=chat,
        stream=bool(data.get("stream")),
        include_usage=bool(options.get("include_usage")),
        usage_in_every_event=bool(options.get("continuous_usage_stats")),
        text_seed=seed,
        model=model,
        id=f"{kind}-{uuid.uuid4().hex}",
        created=int(time.time()),
    )


def usage(generation: Generation, generated: int) -> dict[str, int]:
    """Build the token counts."""
    prompt = generation.request.prompt
    return {"prompt_tokens": prompt, "total_tokens": prompt + generated, "completion_tokens": generated}


def whole(generation: Generation) -> dict[str, Any]:
    """Build the answer of a request that does not stream."""
    request = generation.request
    content = text.words(generation.text_seed, 0, request.generated)
    answer: dict[str, Any] = {"message": {"role": "assistant", "content": content}}
    if not generation.chat:
        answer = {"text": content}
    choice = {"index": 0, **answer, "logprobs": None, "finish_reason": request.finish_reason}
    head = _head(generation, "chat.completion" if generation.chat else "text_completion")
    return {**head, "choices": [choice], "usage": usage(generation, request.generated)}


class EventWriter:
    """Builds the events of one stream; everything that does not change is put together once."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        name = "chat.completion.chunk" if generation.chat else "text_completion"
        head = json.dumps(_head(generation, name), separators=(",", ":"))[:-1]
        opening, self._closing = ('"delta":{"content":"', '"}') if generation.chat else ('"text":"', '"')
        self._head = f"data: {head}"
        self._opening = f'{self._head},"choices":[{{"index":0,{opening}'

    def first(self) -> bytes:
        """Return the event that names the role (chat only), before the first token."""
        if not self._generation.chat:
            return b""
        choice = '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]'
        return f"{self._head},{choice}}}\n\n".encode()

    def tokens(self, start: int, stop: int, *, last: bool) -> bytes:
        """Return an event with the tokens `start` to `stop`. The words are plain ASCII: nothing to escape."""
        generation = self._generation
        words = text.words(generation.text_seed, start, stop)
        reason = f'"{generation.request.finish_reason}"' if last else "null"
        counts = ""
        if generation.usage_in_every_event:
            counts = f',"usage":{json.dumps(usage(generation, stop))}'
        ending = f'{self._closing},"logprobs":null,"finish_reason":{reason}}}]{counts}}}\n\n'
        return f"{self._opening}{words}{ending}".encode()

    def end(self) -> bytes:
        """Return the counts (where asked for) and the mark of the end."""
        generation = self._generation
        if not generation.include_usage:
            return b"data: [DONE]\n\n"
        counts = json.dumps(usage(generation, generation.request.generated))
        return f'{self._head},"choices":[],"usage":{counts}}}\n\ndata: [DONE]\n\n'.encode()


def _head(generation: Generation, kind: str) -> dict[str, Any]:
    return {
        "id": generation.id,
        "object": kind,
        "created": generation.created,
        "model": generation.model,
    }


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError as reason:
        raise BadRequest(f"The body is not JSON: {reason}.") from reason
    if not isinstance(data, dict):
        raise BadRequest("The body must be a JSON object.")
    if not isinstance(data.get("stream_options") or {}, dict):
        raise BadRequest("`stream_options` must be an object.")
    return data


def _refuse_unsupported(data: dict[str, Any]) -> None:
    for name in NOT_SIMULATED:
        if data.get(name):
            raise BadRequest(f"`{name}` is not simulated by this server; leave it out.")
    if data.get("n") not in {None, 1}:
        raise BadRequest("`n` above 1 is not simulated by this server.")


def _prompt(data: dict[str, Any]) -> str | list[int]:
    prompt = data.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return prompt
    if isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt):
        return prompt
    raise BadRequest("`prompt` must be a text or a list of token ids, one prompt a request, and not empty.")


def _chat_prompt(data: dict[str, Any]) -> str:
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("`messages` must be a list of messages, and not empty.")
    lines = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str):
            raise BadRequest("Each message needs a `role` and a text as `content`.")
        lines.append(f"{message.get('role', 'user')}: {content}")
    return "\n".join(lines)


def _request(data: dict[str, Any], *, size: int, seed: int, served: Served, chat: bool) -> Request:
    room = served.max_model_len - size
    asked = _integer(data, "max_completion_tokens", 0) or _integer(data, "max_tokens", 0)
    limit = asked or (room if chat else COMPLETION_DEFAULT_TOKENS)
    if room < 1 or limit > room:
        raise BadRequest(
            f"This model's maximum context length is {served.max_model_len} tokens. However, you requested "
            f"{size + max(limit, 1)} tokens ({size} in the prompt, {max(limit, 1)} in the completion)."
        )
    natural = limit
    if not data.get("ignore_eos"):
        natural = max(text.natural_length(seed), _integer(data, "min_tokens", 0))
    reason = "stop" if natural < limit else "length"
    return Request(prompt=size, target=min(natural, limit), finish_reason=reason, max_tokens=limit)


def _integer(data: dict[str, Any], name: str, default: int, *, least: int = 1) -> int:
    value = data.get(name)
    if value is None:
        return default
    if type(value) is not int or (value < least and not (name == "min_tokens" and value == 0)):
        raise BadRequest(f"`{name}` must be a whole number of at least {least}, got {value!r}.")
    return value
