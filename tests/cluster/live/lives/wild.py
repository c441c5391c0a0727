"""Random fields of a pod, from the API server's own OpenAPI document: whatever the schema permits.

Most of them the API server refuses; what it takes, a node has to cope with.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from tests.cluster.live.lives.tame import Spec

ROOT = "io.k8s.api.core.v1.PodSpec"
NOT_OURS = {"nodeName", "schedulerName", "schedulingGates", "serviceAccountName", "serviceAccount"}
WORDS = (
    "a",
    "b",
    "v",
    "c0",
    "/v",
    "/work",
    "x/y",
    "a.b",
    "80",
    "example.com/gate",
    "metadata.name",
    "$(A)",
    "10.0.0.1",
)
NUMBERS = (0, 1, 2, 80, 10_001, 65_535, 2**31 - 1, -1)
QUANTITIES = ("0", "1", "1k", "10m", "64Mi", "1.5", "2E", "1e3", "1u")


class Schema:
    """The schemas of an OpenAPI document by name."""

    def __init__(self, document: Any) -> None:
        self._all = document["components"]["schemas"]

    def of(self, schema: Any) -> tuple[str, Any]:
        """Name and content behind a reference."""
        for each in (schema, *schema.get("allOf", ())):
            if "$ref" in each:
                name = each["$ref"].rpartition("/")[2]
                return name, self._all[name]
        return "", schema

    def value(self, schema: Any, depth: int = 3) -> st.SearchStrategy[Any]:
        """Any value of a schema, not too deep."""
        name, found = self.of(schema)
        if "properties" in found:
            return self._object(found, depth)
        named = {"Quantity": QUANTITIES, "IntOrString": (*NUMBERS, *WORDS)}
        if pool := named.get(name.rpartition(".")[2]):
            return st.sampled_from(pool)
        plain = {
            "integer": st.sampled_from(NUMBERS),
            "number": st.sampled_from(NUMBERS),
            "boolean": st.booleans(),
        }
        match found.get("type"):
            case "string":
                return st.sampled_from(found.get("enum") or WORDS)
            case "array":
                return st.lists(st.deferred(lambda: self.value(found["items"], depth - 1)), max_size=2)
            case "object":
                values = st.deferred(lambda: self.value(found.get("additionalProperties", {}), depth - 1))
                return st.dictionaries(st.sampled_from(WORDS), values, max_size=2)
            case kind:
                return plain.get(kind, st.just({}))

    def _object(self, found: Any, depth: int) -> st.SearchStrategy[Any]:
        must = set(found.get("required", ()))
        may = sorted(found["properties"].keys() - must) if depth > 0 else []

        @st.composite
        def made(draw: st.DrawFn) -> Any:
            some = draw(st.lists(st.sampled_from(may), max_size=2, unique=True)) if may else []
            return {
                key: draw(self.value(found["properties"][key], depth - 1)) for key in sorted(must | {*some})
            }

        return made()

    def pods(self, tame: st.SearchStrategy[Spec]) -> st.SearchStrategy[Spec]:
        """Pods with up to three fields of whatever the schema permits."""

        @st.composite
        def made(draw: st.DrawFn) -> Spec:
            spec = copy.deepcopy(draw(tame))
            for _ in range(draw(st.integers(1, 3))):
                self._change(draw, spec, {"$ref": ROOT})
            return spec

        return made()

    def _change(self, draw: st.DrawFn, into: Any, schema: Any) -> None:
        """Set one field somewhere below."""
        _, found = self.of(schema)
        if isinstance(into, list):
            if into and isinstance(into[0], dict):
                self._change(draw, draw(st.sampled_from(into)), found["items"])
            return
        properties = found.get("properties", {})
        names = sorted(properties.keys() - NOT_OURS)
        if not names:
            return
        inner = [name for name in names if isinstance(into.get(name), dict | list) and into[name]]
        deeper = bool(inner) and draw(st.booleans())
        name: str = draw(st.sampled_from(inner if deeper else names))
        if deeper:
            self._change(draw, into[name], properties[name])
        else:
            into[name] = draw(self.value(properties[name]))
