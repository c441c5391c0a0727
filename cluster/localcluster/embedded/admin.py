"""The lab's own requests to its API server, as its admin: what starting and changing a lab needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from localcluster import polling
from localcluster.api import APPLY, MERGE
from localcluster.api.client import Api, Request
from localcluster.api.resources import Resources
from localcluster.errors import BadInput, ClusterError, ProviderError


def get(api: Api, path: str) -> Any | None:
    """The JSON under `path`; None while there is none, or no answer within 5 real seconds.

    For polling: one request each time, so that a start-up is not held up by a server that is silent.
    """
    with contextlib.suppress(ClusterError):
        return api.send(Request(path, seconds=5, once=True)).json
    return None


def apply(api: Api, documents: Iterable[str]) -> None:
    """Server-side apply of multi-document YAML texts, in order."""
    apply_objects(api, (obj for text in documents for obj in yaml.safe_load_all(text)))


def apply_objects(api: Api, objects: Iterable[dict[str, Any]]) -> None:
    """Server-side apply of objects, in order."""
    resources = Resources(api)
    params = {"fieldManager": "labkit", "force": "true"}
    for obj in objects:
        try:
            api.send(Request(_path(resources, obj), "PATCH", params=params, body=obj, content_type=APPLY))
        except ClusterError as error:
            raise ProviderError(
                f"The API server refused {obj['kind']} {obj['metadata']['name']}: {error.what}",
                fix="See `localcluster logs kube-apiserver`.",
            ) from error


def kinds(objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The CustomResourceDefinitions among objects."""
    return [obj for obj in objects if obj["kind"] == "CustomResourceDefinition"]


def take_up(api: Api, definitions: Sequence[dict[str, Any]]) -> None:
    """Apply CustomResourceDefinitions; returns once the server has taken up their kinds."""
    apply_objects(api, definitions)
    paths = _paths(api, definitions)
    what = "the API server to take up custom resources"
    polling.until(lambda: all(_established(get(api, path)) for path in paths), what, seconds=60)


def take_back(api: Api, objects: Sequence[dict[str, Any]]) -> None:
    """Delete those that are there, in order; returns once the CustomResourceDefinitions are gone."""
    paths = _paths(api, kinds(objects))
    delete_objects(api, objects)
    polling.until(lambda: not any(map(api.find, paths)), "custom resources to be gone", seconds=60)


def delete_objects(api: Api, objects: Iterable[dict[str, Any]]) -> None:
    """Delete those that are there, in order; waits for none."""
    resources = Resources(api)
    for obj in objects:
        with contextlib.suppress(BadInput):  # its kind is gone already
            api.delete(_path(resources, obj))


def _established(definition: dict[str, Any] | None) -> bool:
    conditions = ((definition or {}).get("status") or {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _paths(api: Api, objects: Iterable[dict[str, Any]]) -> list[str]:
    resources = Resources(api)
    return [_path(resources, obj) for obj in objects]


def _path(resources: Resources, obj: dict[str, Any]) -> str:
    meta = obj["metadata"]
    return resources.of(obj).path(meta.get("namespace", ""), meta["name"])


def annotate(api: Api, path: str, key: str, value: str) -> None:
    """Annotate one object, so that its controllers process it again now."""
    body = {"metadata": {"annotations": {key: value}}}
    api.send(Request(path, "PATCH", body=body, content_type=MERGE))
