"""The API server as programs talk to it: raw paths, raw JSON. For people there is `labkit.kube`."""

from collections.abc import Mapping
from typing import Any

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

Json = dict[str, Any]
"""A JSON object."""
JsonLike = Mapping[str, Any]
"""A JSON object that is only read."""
