"""`httpGet` of a probe or a lifecycle hook: one request, as the kubelet makes it.

A redirect to the same host is followed, ten times at most; one to another host counts as the answer.
Certificates are not checked, proxies not used. Errors have the words of Go's HTTP client, as in the events of
a real cluster. Asks HTTP/1.1 only. Source:
https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from localcluster.api import Json
from localcluster.toolchain.versions import kubernetes

Dial = Callable[
    [str, int], tuple[str, int]
]  # host and port as a manifest names them -> where they really are

_LATE = "context deadline exceeded"
_MOST_BYTES = 10 * 1024  # of an answer's body
_MOST_REDIRECTS = 10
_FOLLOWED = {301, 302, 303, 307, 308}
_KEPT = "/?#%:@!$&'()*+,;=~[]"  # characters of a path that need no escape, or are one
_OWN_HEADERS = ("Host", "User-Agent", "Accept", "Content-Length", "Transfer-Encoding", "Trailer")
_UNASKED = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


class Unanswered(Exception):
    """There was no answer; the message is that of Go's client."""


class NoTls(Unanswered):
    """HTTPS was requested, but plain HTTP answered."""


class CutOff(Unanswered):
    """The answer began, but its body did not arrive."""


@dataclass(frozen=True)
class Answer:
    """The last answer, after all redirects that are followed."""

    status: int
    body: str


@dataclass(frozen=True)
class Question:
    """What is asked: `url` as people read it, and the headers (the names may repeat)."""

    url: str
    headers: CIMultiDict[str]


def question(spec: Json, *, host: str, port: int, purpose: str) -> Question:
    """Of an `httpGet`; `host` holds where the manifest names none, `purpose` is probe or lifecycle."""
    host = spec.get("host") or host
    path = quote(str(spec.get("path") or ""), safe=_KEPT)
    path = path if path.startswith("/") or not path else f"/{path}"
    named = f"[{host}]" if ":" in host else host
    url = f"{str(spec.get('scheme') or 'HTTP').lower()}://{named}:{port}{path}"
    return Question(url, _headers(spec.get("httpHeaders") or (), agent(purpose)))


def agent(purpose: str) -> str:
    """The user agent of the kubelet: `kube-probe/1.37`."""
    return f"kube-{purpose}/{'.'.join(kubernetes().split('.')[:2])}"


def _headers(given: Any, agent: str) -> CIMultiDict[str]:
    """Those of the manifest, and the kubelet's own where it says nothing; an empty one is left out."""
    asked: CIMultiDict[str] = CIMultiDict((h["name"], h.get("value", "")) for h in given)
    first = {"Host": asked.get("Host", ""), "User-Agent": asked.get("User-Agent", agent)}
    first["Accept"] = asked.get("Accept", "*/*")
    own = [(name, value) for name, value in first.items() if value]
    return CIMultiDict([*own, *((n, v) for n, v in asked.items() if n.title() not in _OWN_HEADERS)])


async def get(asked: Question, dial: Dial, seconds: float | None) -> Answer:
    """Ask, and follow redirects, all within `seconds` of real time. Raises `Unanswered`."""
    connector = aiohttp.TCPConnector(ssl=_trusting(), force_close=True)
    forever = aiohttp.ClientTimeout(total=None, sock_connect=None)  # the limit is ours
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=forever,
        skip_auto_headers=_UNASKED,
        trust_env=False,
    ) as session:
        exchange = _Exchange(session, dial, asked)
        try:
            async with asyncio.timeout(seconds):
                return await exchange.followed()
        except TimeoutError as error:
            raise exchange.late() from error
        except aiohttp.ClientError as error:
            raise exchange.broken(error) from error


@dataclass
class _Exchange:
    """A request and its redirects; `asked` is the current one."""

    session: aiohttp.ClientSession
    dial: Dial
    asked: Question
    heard: bool = False  # the headers of the answer are there

    async def followed(self) -> Answer:
        """The answer that counts."""
        host = urlsplit(self.asked.url).hostname
        for made in itertools.count(1):
            answer, location = await self._once()
            following = urljoin(self.asked.url, location)
            if answer.status not in _FOLLOWED or not location or urlsplit(following).hostname != host:
                return answer
            if made == _MOST_REDIRECTS:
                raise Unanswered(f'Get "{location}": stopped after {made} redirects')
            headers = self.asked.headers.copy()
            if urlsplit(location).scheme:  # as Go: a Host of the manifest holds for relative redirects only
                headers.popall("Host", None)
            self.asked = Question(following, headers)
        raise AssertionError("there is no end to counting")

    async def _once(self) -> tuple[Answer, str]:
        parts = urlsplit(self.asked.url)
        host, port = self.dial(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        url = URL(self.asked.url, encoded=True).with_host(host).with_port(port)
        headers = self.asked.headers
        if "Host" not in headers:
            headers = CIMultiDict([("Host", parts.netloc), *headers.items()])
        self.heard = False
        async with self.session.get(url, headers=headers, allow_redirects=False) as response:
            self.heard = True
            kept = b""
            while block := await response.content.read(_MOST_BYTES - len(kept)):
                kept += block
            return Answer(response.status, kept.decode(errors="replace")), response.headers.get(
                "Location", ""
            )

    def late(self) -> Unanswered:
        """The timeout has passed."""
        if self.heard:
            return CutOff(f"{_LATE} (Client.Timeout or context cancellation while reading body)")
        return self._get(f"{_LATE} (Client.Timeout exceeded while awaiting headers)")

    def broken(self, error: aiohttp.ClientError) -> Unanswered:
        """What Go's client says of the same failure."""
        if isinstance(error, aiohttp.ClientPayloadError):
            return CutOff("unexpected EOF")
        if isinstance(error, aiohttp.ClientSSLError) and _is_plain(error):
            return NoTls(f'Get "{self.asked.url}": http: server gave HTTP response to HTTPS client')
        return self._get(_words(error, urlsplit(self.asked.url)))

    def _get(self, what: str) -> Unanswered:
        return Unanswered(f'Get "{self.asked.url}": {what}')


def _words(error: aiohttp.ClientError, url: SplitResult) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            said = f"dial tcp: lookup {url.hostname}: no such host"
        case aiohttp.ClientConnectorError():
            said = f"dial tcp {url.netloc}: {why(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            said = "EOF"
        case aiohttp.ClientOSError():
            said = f"read tcp {url.netloc}: {why(error)}"
        case aiohttp.ClientResponseError():
            first = error.message.splitlines()[0]
            said = f"net/http: HTTP/1.x transport connection broken: malformed HTTP response: {first}"
        case _:
            said = str(error)
    return said


def why(error: OSError) -> str:
    """As Go ends the message of a failed call."""
    if isinstance(error, ConnectionRefusedError):
        return "connect: connection refused"
    if isinstance(error, ConnectionResetError):
        return "read: connection reset by peer"
    return str(error.strerror or error).lower()


def _is_plain(error: Exception) -> bool:
    """Whether the other side does not speak TLS at all."""
    return any(word in str(error) for word in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER"))


@functools.cache
def _trusting() -> ssl.SSLContext:
    """Like the kubelet, don't verify certificates: only whether there is an answer matters."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
