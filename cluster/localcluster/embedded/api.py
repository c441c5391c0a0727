"""The few requests that starting a lab needs, with the admin's certificate. Not a Kubernetes client."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any, Self

import httpx
import yaml

from localcluster.errors import ProviderError
from localcluster.layout import Layout, Ports

GROUPS = {
    "v1": "/api/v1",
    "apiregistration.k8s.io/v1": "/apis/apiregistration.k8s.io/v1",
    "rbac.authorization.k8s.io/v1": "/apis/rbac.authorization.k8s.io/v1",
    "scheduling.k8s.io/v1": "/apis/scheduling.k8s.io/v1",
}


class Api:
    """A connection to the lab's API server."""

    def __init__(self, layout: Layout, ports: Ports) -> None:
        context = ssl.create_default_context(cafile=str(layout.pki("ca.crt")))
        context.load_cert_chain(layout.pki("admin.crt"), layout.pki("admin.key"))
        base = f"https://127.0.0.1:{ports.api}"
        # trust_env: connections to the loopback must not use a proxy.
        self._http = httpx.Client(base_url=base, verify=context, trust_env=False, timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str) -> dict[str, Any] | None:
        """The JSON under `path`; None while it does not answer with 200."""
        try:
            answer = self._http.get(path)
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == httpx.codes.OK else None

    def apply(self, documents: Iterable[str]) -> None:
        """Server-side apply of multi-document YAML texts, in order."""
        for text in documents:
            for obj in yaml.safe_load_all(text):
                self._apply(obj)

    def delete(self, path: str) -> None:
        """Delete one object, if it exists."""
        answer = self._http.delete(path)
        if answer.status_code != httpx.codes.NOT_FOUND:
            answer.raise_for_status()

    def annotate(self, path: str, key: str, value: str) -> None:
        """Annotate one object, so that its controllers process it again now."""
        body = {"metadata": {"annotations": {key: value}}}
        self._http.patch(
            path, json=body, headers={"Content-Type": "application/merge-patch+json"}
        ).raise_for_status()

    def _apply(self, obj: dict[str, Any]) -> None:
        meta = obj["metadata"]
        namespace = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
        path = f"{GROUPS[obj['apiVersion']]}{namespace}/{_plural(obj['kind'])}/{meta['name']}"
        answer = self._http.patch(
            path,
            params={"fieldManager": "labkit", "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=yaml.safe_dump(obj),
        )
        if answer.is_error:
            raise ProviderError(
                f"The API server refused {obj['kind']} {meta['name']}: {answer.text[:300]}",
                fix="See `localcluster logs kube-apiserver`.",
            )


def _plural(kind: str) -> str:
    return f"{kind.lower()}es" if kind.endswith("s") else f"{kind.lower()}s"
