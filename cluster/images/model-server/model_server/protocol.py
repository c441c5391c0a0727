"""OpenAI's request and response shapes: what comes in is checked, what goes out is built here.

Refuses, with an error that names the parameter, what cannot be simulated believably (see `parameters`).
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from model_server import parameters, text
from model_server.parameters import BadRequest
from model_server.request import Request

COMPLETION_DEFAULT_TOKENS = 16


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


def error(message: str, *, status: int, kind: str, param: str | None = None) -> dict[str, Any]:
    """Build OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def parse(body: bytes, *, chat: bool, served: Served) -> Generation:
    """Check a request's body; raises `BadRequest`."""
    data = _object(body)
    model = data.get("model") or served.model
    if model != served.model:
        message = f"The model `{model}` does not exist."
        raise BadRequest(message, param="model", status=404, kind="NotFoundError")
    parameters.check(data)
    prompt = _chat_prompt(data) if chat else _prompt(data)
    size = len(prompt) if isinstance(prompt, list) else text.count_tokens(prompt)
    seed = text.seed_of(prompt, parameters.integer(data, "seed", served.seed, least=-(2**63)))
    options = parameters.stream_options(data)
    kind = "chatcmpl" if chat else "cmpl"
    return Generation(
        request=_request(data, size=size, seed=seed, served=served, chat=chat),
        chat=chat,
        stream=parameters.flag(data, "stream"),
        include_usage=parameters.flag(options, "include_usage"),
        usage_in_every_event=parameters.flag(options, "continuous_usage_stats"),
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
    return data


def _prompt(data: dict[str, Any]) -> str | list[int]:
    prompt = data.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return prompt
    if isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt):
        return prompt
    raise BadRequest(
        "`prompt` must be a text or a list of token ids, one prompt a request, and not empty.", param="prompt"
    )


def _chat_prompt(data: dict[str, Any]) -> str:
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("`messages` must be a list of messages, and not empty.", param="messages")
    return "\n".join(_line(message) for message in messages)


def _is_text(part: dict[str, Any]) -> bool:
    return part.get("type") == "text" and isinstance(part.get("text"), str)


def _line(message: Any) -> str:
    """One message as the model would read it."""
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str):
        raise BadRequest("Each message needs a `role` and a text as `content`.", param="messages")
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [p["text"] for p in parts if isinstance(p, dict) and _is_text(p)]
    if len(texts) < len(parts):
        raise BadRequest("The `content` of a message must be a text, or parts that are.", param="messages")
    return f"{role}: " + "\n".join(texts)


def _request(data: dict[str, Any], *, size: int, seed: int, served: Served, chat: bool) -> Request:
    room = served.max_model_len - size
    names = ("max_completion_tokens", "max_tokens") if chat else ("max_tokens",)
    name = next((name for name in names if data.get(name) is not None), "max_tokens")
    limit = parameters.integer(data, name, max(room, 1) if chat else COMPLETION_DEFAULT_TOKENS, least=1)
    if limit > room:
        raise BadRequest(
            f"This model's maximum context length is {served.max_model_len} tokens. However, you requested "
            f"{size + limit} tokens ({size} in the prompt, {limit} in the completion).",
            param=name if room > 0 else "messages" if chat else "prompt",
        )
    fewest = parameters.integer(data, "min_tokens", 0, least=0)
    if fewest > limit:
        message = f"`min_tokens` must be at most {limit}, which is the most allowed, got {fewest}."
        raise BadRequest(message, param="min_tokens")
    natural = limit
    if not parameters.flag(data, "ignore_eos"):
        natural = max(text.natural_length(seed), fewest)
    reason = "stop" if natural < limit else "length"
    return Request(prompt=size, target=min(natural, limit), finish_reason=reason, max_tokens=limit)
