"""A small asynchronous Kubernetes client: raw paths, raw JSON, one identity for each `Api`.

It reads, watches and writes with an identity from `identity.py`. It has no kinds and no cache: callers keep
what they need.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from localcluster.api import JSON, STRATEGIC, Json, identity
from localcluster.api.identity import Identity
from localcluster.errors import ClusterError, Unreachable

_ANSWER_WITHIN = aiohttp.ClientTimeout(total=15)
_CONNECTIONS = 10  # a burst queues: a TLS handshake costs more than ten requests
_WATCH_SECONDS = 290  # the server ends a watch after this; it is reopened at the same version
_NETWORK = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, asyncio.TimeoutError, OSError)


class ApiError(ClusterError):
    """The API server answered with a Status that is not success: `code` (404), `reason` ("NotFound")."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message

    @property
    def gone(self) -> bool:
        """404: the object (or its namespace) does not exist."""
        return self.code == 404

    @property
    def conflict(self) -> bool:
        """409: it exists already, or was changed in between."""
        return self.code == 409


@dataclass(frozen=True)
class Listed:
    """All objects at the start of a watch, and again if the watch could not be resumed."""

    items: tuple[Json, ...]


@dataclass(frozen=True)
class Change:
    """One event of a watch; `type` is ADDED, MODIFIED or DELETED."""

    type: str
    object: Json


class Api:
    """One identity's connection to the API server.

    Paths are those of `kubectl get --raw`: `/api/v1/namespaces/default/pods/web`. Must be made and closed
    inside a running event loop.
    """

    def __init__(self, who: Path | Identity) -> None:
        self._who = who if isinstance(who, Identity) else identity.of_kubeconfig(who)
        self.server, self.tls = self._who.server, self._who.tls
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self.tls, limit=_CONNECTIONS, keepalive_timeout=120),
            headers={"Accept": JSON, "User-Agent": "labkit"},
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, path: str, **query: str) -> Json:
        """One object, or a list with its metadata."""
        return await self._ask("GET", path, query=query)

    async def create(self, path: str, body: Json) -> Json:
        """POST to a collection, or to a subresource such as `.../serviceaccounts/default/token`."""
        return await self._ask("POST", path, body=body)

    async def replace(self, path: str, body: Json) -> Json:
        """PUT; conflicts where `metadata.resourceVersion` is not the latest."""
        return await self._ask("PUT", path, body=body)

    async def patch(self, path: str, body: Json, *, kind: str = STRATEGIC, **query: str) -> Json:
        """PATCH; `kind` is one of STRATEGIC, MERGE, APPLY (which wants fieldManager="...")."""
        return await self._ask("PATCH", path, body=body, query=query, content_type=kind)

    async def delete(self, path: str, body: Json | None = None) -> Json:
        """DELETE, with DeleteOptions as `body`."""
        return await self._ask("DELETE", path, body=body or {})

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> Json:
        data = None if body is None else json.dumps(body).encode()
        headers = self._who.headers()
        if data is not None:
            headers["Content-Type"] = content_type
        try:
            async with self._session.request(
                method, self.server + path, params=query, data=data, headers=headers, timeout=_ANSWER_WITHIN
            ) as response:
                text = await response.read()
        except _NETWORK as error:
            raise Unreachable(f"The API server did not answer {method} {path}: {error!r}.") from error
        return _answer(response.status, text)

    async def watch(self, path: str, **query: str) -> AsyncIterator[Listed | Change]:
        """Yield a `Listed`, then each `Change`, forever: reconnects, and lists again if it can't be resumed.

        `query` takes `fieldSelector="spec.nodeName=..."` and `labelSelector="..."`. A refusal (403, 404) is
        retried with back-off too: permissions and kinds may be created later than the watcher.
        """
        pause = 0.05
        while True:
            version = ""
            with contextlib.suppress(ApiError, Unreachable):
                listing = await self.get(path, **query)
                version = listing["metadata"]["resourceVersion"]
                pause = 0.05
                kind = {"apiVersion": listing["apiVersion"], "kind": listing["kind"].removesuffix("List")}
                yield Listed(tuple(kind | item for item in listing.get("items") or ()))
                async for change in self._follow(path, query, version):
                    yield change
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, 2.0)

    async def _follow(self, path: str, query: Mapping[str, str], version: str) -> AsyncIterator[Change]:
        """Changes since `version` until the server no longer knows that version (410)."""
        pause = 0.05
        while True:
            try:
                async for event in self._stream(path, query, version):
                    if event["type"] == "ERROR":
                        _raise(int(event["object"].get("code", 500)), event["object"])
                    version = event["object"]["metadata"]["resourceVersion"]
                    pause = 0.05
                    if event["type"] != "BOOKMARK":
                        yield Change(event["type"], event["object"])
            except ApiError as error:
                if error.code in {400, 410, 500}:
                    return
            except _NETWORK:
                pass  # the API server restarts: ask again from the same version
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def _stream(self, path: str, query: Mapping[str, str], version: str) -> AsyncIterator[Json]:
        params = dict(query) | {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_WATCH_SECONDS + 10)
        headers = self._who.headers()
        url = self.server + path
        async with self._session.get(url, params=params, timeout=timeout, headers=headers) as response:
            if response.status != 200:
                _answer(response.status, await response.read())
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield json.loads(line)


def _answer(code: int, text: bytes) -> Json:
    try:
        body = json.loads(text) if text else {}
    except ValueError:
        body = {"message": text.decode(errors="replace")[:500]}
    if code >= 400:
        _raise(code, body)
    return body if isinstance(body, dict) else {"value": body}


def _raise(code: int, status: Json) -> None:
    raise ApiError(code, str(status.get("reason") or code), str(status.get("message") or f"HTTP {code}"))
