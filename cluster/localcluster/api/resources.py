"""Which kinds the server knows, and what kubectl's words for them mean: `deploy`, `hpa`, `nodes`.

Asks the server (aggregated discovery, two requests) and remembers the answer; asks once more before it says
that a kind does not exist. Refuses to guess plurals.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from localcluster.api import JSON
from localcluster.api.client import Api, Request
from localcluster.errors import BadInput

_DISCOVERY = f"{JSON};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True)
class Resource:
    """One kind in one version of its group."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short: tuple[str, ...]
    namespaced: bool

    @property
    def api_version(self) -> str:
        """As in a manifest: `apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str = "", *, sub: str = "") -> str:
        """The path in the API, for example `/apis/apps/v1/namespaces/x/deployments/y/scale`."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + (f"/{name}" if name else "") + (f"/{sub}" if sub else "")

    def answers_to(self, word: str) -> bool:
        """Whether kubectl would understand this word as this kind."""
        names = {self.plural, self.singular, self.kind.lower(), *self.short}
        return word in names or word in {f"{n}.{self.group}" for n in names}


class Resources:
    """The kinds of one API server."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: tuple[Resource, ...] = ()

    def named(self, word: str) -> Resource:
        """The kind that a learner means by `pods`, `deploy` or `HorizontalPodAutoscaler`."""
        for known in self._twice():
            for resource in known:
                if resource.answers_to(word.lower()):
                    return resource
        self._perhaps_a_name(word)
        raise BadInput(
            f"The server has no kind called {word!r}.",
            cause=_closest(word, [n for r in self._known for n in (r.plural, r.singular, *r.short)]),
            fix="`kubectl api-resources` lists them all.",
        )

    def _perhaps_a_name(self, word: str) -> None:
        """Say so where the word is an object's name without its kind, as `v1beta1.metrics.k8s.io`."""
        version, _, group = word.partition(".")
        if not (group and re.fullmatch(r"v\d+(?:(?:alpha|beta)\d+)?", version)):
            return
        raise BadInput(
            f"{word!r} is no kind: it looks like the name of an APIService.",
            cause="An object is named with its kind.",
            fix=f"Say apiservice/{word}.",
        )

    def of(self, obj: dict[str, Any]) -> Resource:
        """The kind of a manifest, by its `apiVersion` and `kind`."""
        api_version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
        for known in self._twice():
            for resource in known:
                if (resource.api_version, resource.kind) == (api_version, kind):
                    return resource
        same = [r.api_version for r in self._known if r.kind.lower() == kind.lower()]
        kinds = [r.kind for r in self._known]
        hint = f"{kind} lives in {', '.join(same)}." if same else _closest(kind, kinds)
        raise BadInput(
            f'no matches for kind "{kind}" in version "{api_version}"',
            cause=hint,
            fix="Correct `apiVersion` and `kind`; `kubectl api-resources` lists what goes together.",
        )

    def _twice(self) -> Iterator[tuple[Resource, ...]]:
        if self._known:
            yield self._known
        self._known = tuple(_discover(self._api))
        yield self._known


def _discover(api: Api) -> Iterator[Resource]:
    for path in ("/api", "/apis"):
        for group in api.send(Request(path, accept=_DISCOVERY)).json["items"]:
            for version in group["versions"]:
                for r in version.get("resources", ()):
                    yield Resource(
                        group=group["metadata"].get("name", ""),
                        version=version["version"],
                        kind=r["responseKind"]["kind"],
                        plural=r["resource"],
                        singular=r.get("singularResource", ""),
                        short=tuple(r.get("shortNames", ())),
                        namespaced=r["scope"] == "Namespaced",
                    )


def _closest(word: str, names: list[str]) -> str:
    close = difflib.get_close_matches(word, sorted(set(names)), n=1)
    return f"Did you mean {close[0]!r}?" if close else ""
