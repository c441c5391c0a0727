"""One connection to one registry: addresses, logins, and errors that say what went wrong.

Speaks the OCI distribution API 1.1 with Basic and Bearer logins. Refuses plain HTTP, except on this
machine's own loopback, and a certificate that the given CA did not sign.
https://github.com/opencontainers/distribution-spec
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from localcluster.images.credentials import Login
from localcluster.images.failure import HostUnreachable, NotFound, RegistryError, Unauthorized
from localcluster.images.reference import DOCKER_HUB, Reference
from localcluster.netns.outward import Outward
from localcluster.provider import RegistryAccess

OTHERS = "_default"
"""Host of the mirror that says how all other registries are reached, as in containerd's configuration."""

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)


@dataclass(frozen=True)
class Mirror:
    """The real address of a registry's name, as in containerd's hosts.toml."""

    host: str  # "registry.lab:5000"
    url: str  # "https://127.0.0.1:41234"
    ca: str = ""  # path of the PEM that signs its certificate; empty: the system's trust
    outward: Outward | None = None  # how it is reached from inside a lab; None: directly

    @classmethod
    def of(cls, access: RegistryAccess) -> Mirror:
        """The mirror for a cluster's own registry."""
        return cls(access.host, access.url, str(access.ca))


@dataclass(frozen=True)
class Call:
    """One request: a path of the API (or a whole URL) and which statuses are expected."""

    method: str
    path: str
    fine: tuple[int, ...] = (200,)
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None


class Registry:
    """A repository of a registry, with a login."""

    def __init__(self, session: aiohttp.ClientSession, ref: Reference, url: str, login: Login | None) -> None:
        self._session = session
        self._login = login
        self._header: dict[str, str] = {}
        self.ref = ref
        self.root = url.rstrip("/")

    @property
    def prefix(self) -> str:
        """Path of the repository's part of the API."""
        return f"/v2/{self.ref.path}"

    @contextlib.asynccontextmanager
    async def call(self, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send the request, log in if required, retry; raises `RegistryError` for any other status."""
        answer = await self._send(call)
        try:
            if answer.status == 401 and await self._log_in(answer, call):
                answer.close()
                answer = await self._send(call)
            if answer.status not in call.fine:
                raise await self._refusal(answer, call)
            yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(call, error) from error
        finally:
            if answer.connection and answer.connection.transport and not answer.content.is_eof():
                answer.connection.transport.abort()  # an orderly TLS shutdown could outlast the event loop
            answer.release()

    def url(self, path: str) -> str:
        """The whole address for a path, or for a Location that the registry gave."""
        return urljoin(self.root + "/", path)

    async def _send(self, call: Call) -> aiohttp.ClientResponse:
        url = self.url(call.path)
        own = urlsplit(url).netloc == urlsplit(self.root).netloc
        headers = {**call.headers, **(self._header if own else {})}
        try:
            address = URL(url, encoded=True)
            body = io.BytesIO(call.data) if call.data is not None else None
            return await self._session.request(call.method, address, headers=headers, data=body)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(call, error) from error

    async def _log_in(self, answer: aiohttp.ClientResponse, call: Call) -> bool:
        """Whether there is a login that has not been tried yet."""
        scheme, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
        if scheme.lower() == "basic":
            tried = bool(self._header)
            self._header = {"Authorization": self._login.basic} if self._login else {}
            return bool(self._login) and not tried
        if scheme.lower() == "bearer":
            token = await self._token(dict(_PARAMETER.findall(rest)), call)
            header = {"Authorization": f"Bearer {token}"}
            fresh, self._header = header != self._header, header
            return fresh
        return False

    async def _token(self, challenge: Mapping[str, str], call: Call) -> str:
        """A token for this repository, from the place that the registry's challenge names."""
        rights = "pull" if call.method in {"GET", "HEAD"} else "pull,push"
        query = {"scope": challenge.get("scope", f"repository:{self.ref.path}:{rights}")}
        if "service" in challenge:
            query["service"] = challenge["service"]
        headers = {"Authorization": self._login.basic} if self._login else {}
        realm = URL(challenge.get("realm", "")).update_query(query)
        try:
            async with self._session.get(realm, headers=headers) as answer:
                if answer.status != 200:
                    raise await self._refusal(answer, Call("GET", str(realm.with_query(None))))
                body: dict[str, Any] = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(Call("GET", str(realm.with_query(None))), error) from error
        return str(body.get("token") or body.get("access_token") or "")

    async def _refusal(self, answer: aiohttp.ClientResponse, call: Call) -> RegistryError:
        status = f"{answer.status} {answer.reason}"
        detail = f"unexpected status from {call.method} request to {self.url(call.path)}: {status}"
        if answer.status in {401, 403}:
            return self._denied(detail)
        if answer.status == 404:
            return NotFound(
                f"{self.ref.host} has no {self.ref.path}:{self.ref.version}."
                if not self.ref.digest
                else f"{self.ref.host} has no {self.ref.path}@{self.ref.digest}.",
                detail=f"{self.ref}: not found",
                cause="The repository, tag or digest is wrong, or it was never pushed.",
                fix="Check what was pushed, and push again: `localcluster image push`.",
            )
        told = await _told(answer)
        error = RegistryError(f"{self.ref.host} refused: {status}.", detail=detail, cause=told)
        error.status = answer.status
        return error

    def _denied(self, detail: str) -> Unauthorized:
        pod = "for a pod: a secret of type docker-registry in its imagePullSecrets"
        fix = f"Log in: `localcluster image login {self.ref.host}`; {pod}."
        if self._login is None:
            return Unauthorized(
                f"{self.ref.host} requires a login for {self.ref.path}.",
                detail="pull access denied, repository does not exist or may require authorization: "
                "authorization failed: no basic auth credentials",
                cause="There is no login for this host.",
                fix=fix,
            )
        return Unauthorized(
            f"{self.ref.host} refused the login of `{self._login.username}`.",
            detail=detail,
            cause="The name or password is wrong, or the user has no access to this repository.",
            fix=fix,
        )

    def _unreachable(self, call: Call, error: Exception) -> HostUnreachable:
        host = urlsplit(self.url(call.path)).netloc
        why, fix = _reason(error, host)
        return HostUnreachable(
            f"The registry {self.ref.host} can't be reached: {why}.",
            detail=f'failed to do request: {call.method.capitalize()} "{self.url(call.path)}": {why}',
            cause="Its name is wrong, it is not running, or the network can't reach it.",
            fix=fix,
        )


def _reason(error: Exception, host: str) -> tuple[str, str]:
    """The reason in the words of Go's network library, which containerd would use, and a fix."""
    name = urlsplit(f"//{host}").hostname
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return (
            f"dial tcp: lookup {name}: no such host",
            "Correct the host name in the image's reference. For a lab's registry, run `localcluster up`.",
        )
    if isinstance(
        error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError
    ):
        why = f"tls: failed to verify certificate: {error.__cause__ or error}"
        return why, "Trust the CA of this registry, or use the lab's own registry."
    if isinstance(error, aiohttp.ClientConnectorError):
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        return (
            f"dial tcp {host}: connect: {why}",
            "Start the lab (`localcluster up`) and try again.",
        )
    if isinstance(error, TimeoutError):
        return f"dial tcp {host}: i/o timeout", "Check the network, and try again."
    return (
        f"{error or type(error).__name__}",
        "Try again; see the registry's log (`localcluster logs registry`).",
    )


async def _told(answer: aiohttp.ClientResponse) -> str:
    """The registry's own message, in one line."""
    try:
        errors = (await answer.json(content_type=None))["errors"]
        return "; ".join(f"{e.get('code')}: {e.get('message')}" for e in errors)
    except (ValueError, KeyError, TypeError, aiohttp.ClientError):
        return ""


def _address(ref: Reference, mirrors: Sequence[Mirror]) -> Mirror:
    for mirror in mirrors:
        if mirror.host == ref.host:
            return mirror
    outward = next((mirror.outward for mirror in mirrors if mirror.host == OTHERS), None)
    if ref.host == DOCKER_HUB:
        return Mirror(ref.host, "https://registry-1.docker.io", outward=outward)
    scheme = "http" if _loopback(ref.host) else "https"
    return Mirror(ref.host, f"{scheme}://{ref.host}", outward=outward)


def _loopback(netloc: str) -> bool:
    name = urlsplit(f"//{netloc}").hostname or ""
    return name in {"localhost", "::1"} or name.startswith("127.")


@contextlib.asynccontextmanager
async def connect(ref: Reference, mirrors: Sequence[Mirror], login: Login | None) -> AsyncIterator[Registry]:
    """Open a repository; proxies of the environment are used for hosts that are not this machine."""
    mirror = _address(ref, mirrors)
    trusted = await asyncio.to_thread(ssl.create_default_context, cafile=mirror.ca or None)
    local = _loopback(urlsplit(mirror.url).netloc)
    if way := mirror.outward:
        connector = aiohttp.TCPConnector(
            ssl=trusted, resolver=way.resolver(), socket_factory=way.socket, family=socket.AF_UNSPEC
        )
    else:
        connector = aiohttp.TCPConnector(ssl=trusted)
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, trust_env=not local) as session:
        yield Registry(session, ref, mirror.url, login)
