"""Did you mean ...? Field names that the server does not know, held against those that it does.

Reads the server's own OpenAPI document, and only once something has gone wrong. Refuses to correct anything.
"""

from __future__ import annotations

import difflib
import re
from typing import Any

from localcluster.api.client import Api
from localcluster.api.resources import Resource
from localcluster.errors import ClusterError

_STEP = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")


def did_you_mean(api: Api, resource: Resource, field: str) -> str:
    """The sentence for one unknown field; without a suggestion, the fields that are known there."""
    *parents, wrong = steps(field)
    where = _place(parents)
    levels = _levels(api, resource, parents)
    known = levels[-1]
    if not known:
        return ""
    above = next((depth for depth in reversed(range(len(parents))) if wrong in levels[depth]), None)
    if above is not None:
        higher = _place(parents[:above])
        return f"`{wrong}` is not known under {where}. It belongs under {higher}: indent it less."
    close = difflib.get_close_matches(str(wrong), known, n=1, cutoff=0.6)
    if close:
        return f"`{wrong}` is not known under {where}: did you mean `{close[0]}`?"
    return f"`{wrong}` is not known under {where}. Known there: {', '.join(sorted(known))}."


def steps(field: str) -> list[str | int]:
    """Split `spec.containers[0].image`; `[name="c"]`, as server-side apply writes it, is taken as 0."""
    found: list[str | int] = []
    for name, index in _STEP.findall(field.lstrip(".")):
        found.append(name or (int(index) if index.isdigit() else 0))
    return found


def _place(parents: list[str | int]) -> str:
    return ".".join(p for p in parents if isinstance(p, str)) or "the top level"


def _levels(api: Api, resource: Resource, parents: list[str | int]) -> list[list[str]]:
    """The fields that are known at the top, and below each step down; empty lists without a schema."""
    root = "apis" if resource.group else "api"
    try:
        document = api.get(f"/openapi/v3/{root}/{resource.api_version}")
    except ClusterError:
        return [[]]  # no schema, no suggestion: the server's refusal is what counts
    schemas: dict[str, Any] = document["components"]["schemas"]
    schema = next((s for s in schemas.values() if _describes(s, resource)), None)
    levels = []
    for step in parents:
        schema = _resolve(schemas, schema)
        levels.append(list(schema.get("properties", {})))
        schema = schema.get("items") if isinstance(step, int) else schema.get("properties", {}).get(step)
    return [*levels, list(_resolve(schemas, schema).get("properties", {}))]


def _describes(schema: dict[str, Any], resource: Resource) -> bool:
    kinds = schema.get("x-kubernetes-group-version-kind", ())
    wanted = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    return any(k == wanted for k in kinds)


def _resolve(schemas: dict[str, Any], schema: dict[str, Any] | None) -> dict[str, Any]:
    while schema and ("$ref" in schema or "allOf" in schema):
        ref = schema.get("$ref") or schema["allOf"][0].get("$ref", "")
        schema = schemas.get(ref.rsplit("/", 1)[-1])
    return schema or {}
