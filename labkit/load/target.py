"""A look at the target before any load: is it this machine, does it answer, does it speak OpenAI.

Refuses other machines unless the load says `allow_remote`: a load test on someone else's server is an attack.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from urllib.parse import urlsplit

import httpx

from labkit.errors import BadInput, LoadError
from labkit.load.plan import Load


def look(load: Load) -> str:
    """The name of the model served; raises `BadInput` or `LoadError` where no load can be put on it."""
    _check_address(load)
    try:
        with httpx.Client(trust_env=False, verify=_trust(load), timeout=10) as client:
            answer = client.get(f"{load.url.rstrip('/')}/v1/models")
    except httpx.ConnectError as error:
        raise _unreachable(load.url, str(error)) from error
    except httpx.HTTPError as error:
        raise LoadError(
            f"{load.url} took the connection but gave no answer ({error or type(error).__name__}).",
            cause="The server is starting, overloaded, or speaks TLS where the URL says http.",
            fix="curl -v " + load.url.rstrip("/") + "/health",
        ) from error
    return load.model or _model(load.url, answer)


def _check_address(load: Load) -> None:
    parts = urlsplit(load.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadInput(
            f"{load.url!r} is no URL of a server.", fix="Use http://127.0.0.1:8000, or lab.url(...)."
        )
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BadInput(
            f"Nobody knows the host {parts.hostname}.",
            cause="A typo, or a Service name that only pods can resolve.",
            fix="Use the address that lab.url(...) returns.",
        ) from error
    addresses = {str(entry[4][0]) for entry in found}
    if load.allow_remote or all(ipaddress.ip_address(a.partition("%")[0]).is_loopback for a in addresses):
        return
    raise BadInput(
        f"Refused to put load on {parts.hostname}: it is not this machine.",
        cause="labkit aims at loopback only, so that no server of somebody else is hit by mistake.",
        fix="If it is yours: Load(..., allow_remote=True), or --allow-remote.",
    )


def _trust(load: Load) -> ssl.SSLContext | bool:
    if load.ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(load.ca))
    except (OSError, ssl.SSLError) as error:
        raise BadInput(
            f"{load.ca} is no certificate authority: {error}.",
            cause="The file is missing or holds no PEM certificate.",
            fix="The lab's is <lab>/pki/ca.crt.",
        ) from error


def _unreachable(url: str, said: str) -> LoadError:
    if "CERTIFICATE" in said.upper():
        return LoadError(
            f"{url} shows a certificate that we don't trust ({said}).",
            cause="It is signed by the lab's own authority, and that was not given.",
            fix="Load(..., ca=<lab>/pki/ca.crt), or --ca.",
        )
    return LoadError(
        f"Nobody answers at {url} ({said}).",
        cause="The server is not running, or the port is of an older run.",
        fix="kubectl get pods,svc; then take the address from lab.url(...).",
    )


def _model(url: str, answer: httpx.Response) -> str:
    try:
        answer.raise_for_status()
        return str(answer.json()["data"][0]["id"])
    except (httpx.HTTPStatusError, ValueError, KeyError, IndexError, TypeError) as error:
        busy = answer.status_code in {502, 503, 504}
        raise LoadError(
            f"{url}/v1/models answered {answer.status_code}, not a list of models.",
            cause="The model is still loading." if busy else "This is not an OpenAI-compatible model server.",
            fix="Wait until the pod is ready." if busy else "Check the port and that the URL has no path.",
        ) from error
