"""One connection to an API server: JSON in, JSON out, errors as `localcluster.errors`.

The official client brings certificates, tokens and login plugins; callers use plain paths (those of `kubectl
get --raw`). That client is imported when the first connection is made: it costs about 0.4 s. Refuses to send
requests for this machine through a proxy, whatever HTTP_PROXY says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import urllib3
import yaml

from localcluster.api import JSON, refusals
from localcluster.errors import BadInput, ClusterError, Refused, Unreachable

TABLE = f"{JSON};as=Table;v=v1;g=meta.k8s.io,{JSON}"


class Refusal(Protocol):
    """Makes an error from a response with status 400 or more; `what` is the request (`GET /api/v1/nodes`)."""

    def __call__(self, status: int, body: str, *, what: str) -> ClusterError:
        """The error to raise."""
        ...


@dataclass(frozen=True)
class Request:
    """One request; `seconds` is how long the server may stay silent."""

    path: str
    method: str = "GET"
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON
    accept: str = JSON
    seconds: float = 30.0
    once: bool = False
    """Don't retry (urllib3 does so three times): the caller wants to know that there was no answer."""


@dataclass(frozen=True)
class Answer:
    """The response, with the server's `Warning:` headers (of Pod Security and deprecations)."""

    status: int
    text: str
    warnings: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)


class Api:
    """The API server of one kubeconfig context."""

    def __init__(
        self, kubeconfig: Path, *, context: str | None = None, refusal: Refusal = refusals.refusal
    ) -> None:
        from kubernetes import client, config  # noqa: PLC0415 - slow, and many commands connect to nothing

        settings = client.Configuration()
        try:
            config.load_kube_config(str(kubeconfig), context=context, client_configuration=settings)
        except (config.ConfigException, OSError, yaml.YAMLError) as error:
            raise BadInput(
                f"Can't use the kubeconfig {kubeconfig}: {error}",
                cause="The file is missing or damaged, or the context is not in it.",
                fix="`localcluster up` writes one; `kubectl config get-contexts` lists what a file holds.",
            ) from error
        if loopback(settings.host):
            settings.proxy = None
        self._refusal = refusal
        self._kubeconfig, self._read = kubeconfig, _content(kubeconfig)
        self._context = context
        self.host: str = settings.host
        self._client = client.ApiClient(settings)

    @property
    def files(self) -> tuple[Path | None, Path | None, Path | None]:
        """CA, client certificate and key, for clients of other servers behind this one; None: not used."""
        settings = self._client.configuration
        found = (settings.ssl_ca_cert, settings.cert_file, settings.key_file)
        ca, cert, key = (Path(file) if file else None for file in found)
        return ca, cert, key

    @property
    def namespace(self) -> str:
        """The namespace of the context; `default` if it names none, as for kubectl."""
        from kubernetes import config  # noqa: PLC0415 - as above

        contexts, active = config.list_kube_config_contexts(str(self._kubeconfig))
        chosen = next((c for c in contexts if c["name"] == self._context), active)
        return str((chosen.get("context") or {}).get("namespace") or "default")

    @property
    def authorization(self) -> str:
        """The value of the header `Authorization`; empty if a certificate is used instead."""
        headers: dict[str, str] = {}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], "", "GET", None)
        return next((value for name, value in headers.items() if name.lower() == "authorization"), "")

    def get(self, path: str, **params: Any) -> Any:
        """The JSON under a path: `api.get("/api/v1/nodes")`."""
        return self.send(Request(path, params=params)).json

    def find(self, path: str) -> Any | None:
        """The JSON under a path, or None if there is no such object."""
        try:
            return self.get(path)
        except Refused as error:
            if error.reason == "NotFound":
                return None
            raise

    def delete(self, path: str, *, body: Any = None) -> bool:
        """Delete an object, with DeleteOptions as `body`; False if there was none."""
        try:
            self.send(Request(path, "DELETE", body=body))
        except Refused as error:
            if error.reason == "NotFound":
                return False
            raise
        return True

    def send(self, request: Request) -> Answer:
        """Send and read to the end; raises `Refused`, `ClusterError` or `Unreachable`."""
        response = self._open(request)
        text = response.data.decode(errors="replace")
        if response.status >= 400:
            raise self._refusal(response.status, text, what=f"{request.method} {request.path}")
        return Answer(response.status, text, tuple(_warning(w) for w in response.headers.getlist("Warning")))

    def stream(self, request: Request) -> Any:
        """Send and return urllib3's open response (a watch, a log that is followed); the caller closes it."""
        response = self._open(request)
        if response.status >= 400:
            text = response.data.decode(errors="replace")
            raise self._refusal(response.status, text, what=f"{request.method} {request.path}")
        return response

    def _open(self, request: Request) -> Any:
        query = urlencode({k: v for k, v in request.params.items() if v is not None})
        url = f"{self.host}{request.path}{'?' + query if query else ''}"
        headers = {"Accept": request.accept, "Content-Type": request.content_type, "User-Agent": "labkit"}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], request.path, request.method, None)
        body = request.body if request.body is None else json.dumps(request.body)
        try:
            return self._client.rest_client.pool_manager.request(
                request.method,
                url,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=5, read=request.seconds),
                retries=False if request.once else None,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._silent(error) from error

    def _silent(self, error: Exception) -> Unreachable:
        """There is no answer; what that means depends on whether the cluster was restarted since."""
        now = _content(self._kubeconfig)
        if now and now != self._read:
            return Unreachable(
                f"The cluster at {self.host} was replaced by a new one.",
                cause="`localcluster down` and `localcluster up` ran after this connection was made.",
                fix="In a notebook: run the cells with labkit.connect() and lab.reset() again, "
                "then continue.",
            )
        return Unreachable(
            f"The API server at {self.host} does not answer: {_root(error)}",
            cause="The cluster is not running, or this machine is overloaded.",
            fix="See `localcluster status`; `localcluster up` starts what is not running.",
        )


def _content(kubeconfig: Path) -> str:
    """The content of the file; empty if it does not exist."""
    try:
        return kubeconfig.read_text()
    except OSError:
        return ""


def loopback(url: str) -> bool:
    """Whether a URL points to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _warning(header: str) -> str:
    """The text of a `Warning: 299 - "text"` header."""
    return header.split('"', 1)[1].rsplit('"', 1)[0].replace('\\"', '"') if '"' in header else header


def _root(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or error)
