"""The API server as programs talk to it: raw paths, raw JSON. For people there is `labkit.kube`."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
"""A JSON object."""
JsonLike = Mapping[str, Any]
"""A JSON object that is only read."""
