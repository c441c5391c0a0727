"""What a node can read and request for its pods: ConfigMaps, Secrets and bound tokens.

The API server lets a node see only what its pods refer to, and learns of a new pod a moment after the node
does: so a refusal (403) is retried for a short while.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from dataclasses import dataclass

from localcluster.api import Json
from localcluster.api.asynchronous import Api, ApiError
from localcluster.node.process.environment import Objects, Reference

_ROOT_CA = "kube-root-ca.crt"
_PATIENCE = 2.0  # seconds of real time for the node authorizer to learn of a pod


@dataclass(frozen=True)
class Token:
    """A service-account token bound to one pod; `expires` is RFC 3339."""

    text: str
    expires: str


class ObjectReader:
    """One node's view of the objects that its pods mention."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._root_cas: dict[str, dict[str, bytes]] = {}  # every pod needs it, and it never changes

    async def found(self, namespace: str, reference: Reference) -> Json | None:
        """A ConfigMap or Secret as it is; None if there is none."""
        kind, name = reference
        try:
            return await self._patiently(f"/api/v1/namespaces/{namespace}/{kind}/{name}")
        except ApiError as error:
            if error.gone:
                return None
            raise

    async def data(
        self, namespace: str, reference: Reference, *, binary: bool = True
    ) -> dict[str, bytes] | None:
        """The content of a ConfigMap or Secret, decoded; None if there is none.

        Without `binary` a ConfigMap's `binaryData` is left out.
        """
        kind, name = reference
        if name == _ROOT_CA and (known := self._root_cas.get(namespace)):
            return known
        found = await self.found(namespace, reference)
        if found is None:
            return None
        encoded = dict(found.get("binaryData") or {}) if binary else {}
        plain = dict(found.get("data") or {})
        if kind == "secrets":
            encoded, plain = plain, {}
        content = {key: str(value).encode() for key, value in plain.items()}
        content |= {key: base64.b64decode(value) for key, value in encoded.items()}
        if name == _ROOT_CA:
            self._root_cas[namespace] = content
        return content

    async def texts(self, namespace: str, references: Iterable[Reference]) -> Objects:
        """The same for several, as text, for an environment: it never holds `binaryData`."""
        wanted = list(references)
        asked = (self.data(namespace, reference, binary=False) for reference in wanted)
        found = await asyncio.gather(*asked)
        return {
            reference: None if data is None else {k: v.decode(errors="replace") for k, v in data.items()}
            for reference, data in zip(wanted, found, strict=True)
        }

    async def token(self, pod: Json, *, audience: str | None, seconds: int) -> Token:
        """A token of the pod's service account that is valid only as long as the pod is."""
        meta = pod["metadata"]
        account = pod["spec"].get("serviceAccountName") or "default"
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        spec: Json = {"expirationSeconds": seconds, "boundObjectRef": bound}
        if audience:
            spec["audiences"] = [audience]
        path = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        status = (await self._patiently(path, body))["status"]
        return Token(status["token"], status["expirationTimestamp"])

    async def _patiently(self, path: str, body: Json | None = None) -> Json:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        pause = 0.02
        while True:
            try:
                return await (self._api.create(path, body) if body else self._api.get(path))
            except ApiError as error:
                if error.code != 403 or loop.time() > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.3)
