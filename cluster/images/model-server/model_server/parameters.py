"""Which parameters of a request change something, which change nothing, and which are refused.

A parameter is honoured (`protocol`), or it has no effect here and is checked all the same, or it is refused
with its name: never is a wish taken and silently left out. What vLLM itself ignores is ignored, too: `user`,
and every name that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class BadRequest(Exception):
    """The request can't be served; becomes OpenAI's error JSON. `param` names the parameter to blame."""

    def __init__(
        self, message: str, *, param: str | None = None, status: int = 400, kind: str = "BadRequestError"
    ) -> None:
        super().__init__(message)
        self.param = param
        self.status = status
        self.kind = kind


NOT_SIMULATED: Mapping[str, tuple[Any, ...]] = {
    "allowed_token_ids": (),
    "bad_words": ([],),
    "best_of": (1,),
    "chat_template": (),
    "continue_final_message": (False,),
    "documents": ([],),
    "echo": (False,),
    "functions": ([],),
    "kv_transfer_params": (),
    "logit_bias": ({},),
    "logprobs": (False,),
    "n": (1,),
    "priority": (0,),
    "prompt_embeds": (),
    "prompt_logprobs": (),
    "repetition_detection": (),
    "response_format": ({"type": "text"},),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "stop": ([], ""),
    "stop_token_ids": ([],),
    "stream_interval": (1,),
    "structured_outputs": (),
    "suffix": ("",),
    "tool_choice": ("none",),
    "tools": ([],),
    "top_logprobs": (0,),
    "truncate_prompt_tokens": (),
    "use_beam_search": (False,),
}
"""Refused, but for these values, with which vLLM does what it does without them."""

WITHOUT_EFFECT: Mapping[str, tuple[float, float, str]] = {
    "frequency_penalty": (-2, 2, "from -2 to 2"),
    "min_p": (0, 1, "from 0 to 1"),
    "presence_penalty": (-2, 2, "from -2 to 2"),
    "repetition_penalty": (5e-324, float("inf"), "above 0"),
    "temperature": (0, float("inf"), "of at least 0"),
    "top_k": (-1, float("inf"), "of at least -1"),
    "top_p": (5e-324, 1, "above 0, and of at most 1"),
}
"""How to draw the next token. No model runs, so nothing follows from it; the range is checked as in vLLM."""


def check(data: Mapping[str, Any]) -> None:
    """Refuse what is not simulated, and values out of their range; raises `BadRequest`."""
    for name, harmless in NOT_SIMULATED.items():
        value = data.get(name)
        if value is not None and not any(type(value) is type(one) and value == one for one in harmless):
            raise BadRequest(f"`{name}` is not simulated by this server; leave it out.", param=name)
    for name, (least, most, words) in WITHOUT_EFFECT.items():
        value = data.get(name)
        number = type(value) in {int, float}
        if value is not None and not (number and least <= value <= most):
            raise BadRequest(f"`{name}` must be a number {words}, got {value!r}.", param=name)


def flag(data: Mapping[str, Any], name: str) -> bool:
    """A parameter that is true or false; raises `BadRequest`."""
    value = data.get(name)
    if value is not None and type(value) is not bool:
        raise BadRequest(f"`{name}` must be true or false, got {value!r}.", param=name)
    return bool(value)


def integer(data: Mapping[str, Any], name: str, default: int, *, least: int) -> int:
    """A whole number of at least `least`; raises `BadRequest`."""
    value = data.get(name)
    if value is None:
        return default
    if type(value) is not int or value < least:
        raise BadRequest(f"`{name}` must be a whole number of at least {least}, got {value!r}.", param=name)
    return value


def stream_options(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a stream should tell beside its tokens; only a stream can have them; raises `BadRequest`."""
    options = data.get("stream_options")
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise BadRequest("`stream_options` must be an object.", param="stream_options")
    if not data.get("stream"):
        raise BadRequest("`stream_options` needs `stream`: true.", param="stream_options")
    return options
