"""What the API server refused, in its own words, as `localcluster.errors`.

Pure: from an HTTP status and the `Status` object to an error. Refuses to paraphrase: the message has the
server's exact words.
"""

from __future__ import annotations

import json
import re
from typing import Any

from localcluster.errors import ClusterError, Refused

UNKNOWN_FIELD = re.compile(r"(?:^|\s)(\.\S+): field not declared in schema|unknown field \"([^\"]+)\"")
_NO_SUCH_VALUE = ("failed to create typed patch object", "failed to convert new object")
_REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict"}


def refusal(status: int, body: str, *, what: str) -> ClusterError:
    """The error for an HTTP answer of 400 or more; 5xx is no refusal, but for one kind (see below)."""
    answer = _status(body)
    message = str(answer.get("message") or body.strip() or f"HTTP {status}")
    reason = str(answer.get("reason") or "")
    # Server-side apply answers 500 to an unknown field or a wrong type, although the manifest is wrong.
    if any(words in message for words in _NO_SUCH_VALUE):
        status, reason = 422, "UnknownField" if unknown_fields(message) else "WrongType"
    if status >= 500:
        return ClusterError(
            f"{what} failed (HTTP {status}): {message}",
            cause="The API server, or the service behind this API, has an internal problem.",
            fix="See `localcluster logs kube-apiserver` and `localcluster status`; it may pass "
            "within seconds.",
        )
    return Refused(message, reason=reason or _REASONS.get(status, ""))


def unknown_fields(message: str) -> list[str]:
    """The paths of fields that the schema does not know, as the server wrote them, without a leading dot."""
    return [(a or b).lstrip(".") for a, b in UNKNOWN_FIELD.findall(message)]


def _status(body: str) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
