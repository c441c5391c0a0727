"""Checks the target before any load: is it this machine, does it answer, does it speak OpenAI's API.

Refuses other machines unless the load says `allow_remote` (see `address`).
"""

from __future__ import annotations

import ssl

import httpx

from labkit.errors import BadInput, LoadError
from labkit.load import address
from labkit.load.plan import Load


def look(load: Load) -> str:
    """The name of the served model; raises `BadInput` or `LoadError` if the target can't be load-tested."""
    addresses = address.resolve(load.url, allow_remote=load.allow_remote)
    try:
        with httpx.Client(trust_env=False, verify=_trust(load), timeout=10) as client:
            answer = client.get(f"{load.url.rstrip('/')}/v1/models")
    except httpx.ConnectError as error:
        raise _unreachable(load.url, str(error), addresses) from error
    except httpx.HTTPError as error:
        raise LoadError(
            f"{load.url} took the connection but gave no answer ({error or type(error).__name__}).",
            cause="The server is starting, is overloaded, or uses TLS while the URL says http.",
            fix="curl -v " + load.url.rstrip("/") + "/health",
        ) from error
    return load.model or _model(load.url, answer)


def _trust(load: Load) -> ssl.SSLContext | bool:
    if load.ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(load.ca))
    except (OSError, ssl.SSLError) as error:
        raise BadInput(
            f"{load.ca} is not a CA certificate: {error}.",
            cause="The file is missing or holds no PEM certificate.",
            fix="The lab's is <lab>/pki/ca.crt.",
        ) from error


def _unreachable(url: str, said: str, addresses: list[address.Address]) -> LoadError:
    if "CERTIFICATE" in said.upper():
        return LoadError(
            f"{url} presents a certificate that is not trusted ({said}).",
            cause="It is signed by the lab's own CA, which was not given.",
            fix="Load(..., ca=<lab>/pki/ca.crt), or --ca.",
        )
    return LoadError(
        f"Nothing answers at {url} ({said}; tried: {', '.join(map(str, addresses))}).",
        cause="The server is not running, or the port is from an earlier run.",
        fix="kubectl get pods,svc; then take the address from lab.url(...).",
    )


def _model(url: str, answer: httpx.Response) -> str:
    try:
        answer.raise_for_status()
        return str(answer.json()["data"][0]["id"])
    except (httpx.HTTPStatusError, ValueError, KeyError, IndexError, TypeError) as error:
        busy = answer.status_code in {500, 502, 503, 504}
        raise LoadError(
            f"{url}/v1/models answered {answer.status_code}, not a list of models.",
            cause="The model is still loading, or a gateway knows no server."
            if busy
            else "This is not an OpenAI-compatible model server.",
            fix="Wait until the pod is ready." if busy else "Check the port and that the URL has no path.",
        ) from error
