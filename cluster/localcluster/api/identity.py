"""An agent's identity at the API server: a kubeconfig's client certificate, or a pod's ServiceAccount.

Refuses plain HTTP, passwords and proxies.
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from localcluster.api import Json
from localcluster.errors import ProviderError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Identity:
    """Where the API server is and how we authenticate; `token` is a file, since the kubelet renews it."""

    server: str
    tls: ssl.SSLContext
    token: Path | None = None

    def headers(self) -> dict[str, str]:
        """The `Authorization` header; empty if a certificate is used."""
        return {"Authorization": f"Bearer {self.token.read_text().strip()}"} if self.token else {}


def of_kubeconfig(path: Path) -> Identity:
    """The current context's client certificate; `ProviderError` if the file has none."""
    try:
        return _read(path)
    except (OSError, KeyError, StopIteration, ValueError, yaml.YAMLError) as error:
        raise ProviderError(
            f"The kubeconfig {path} can't be used: {error!r}.",
            cause="It is missing, incomplete or has no client certificate.",
            fix="`localcluster down`, then `localcluster up` writes a new one.",
        ) from error


def of_pod(mount: Path = SERVICE_ACCOUNT) -> Identity:
    """The ServiceAccount of the pod that we run in; `ProviderError` outside of one."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    try:
        tls = ssl.create_default_context(cafile=str(mount / "ca.crt"))
    except OSError as error:
        raise ProviderError(
            f"There is no ServiceAccount at {mount}.",
            cause="This program runs outside a pod, or the pod has automountServiceAccountToken: false.",
            fix="Start it from its manifest.",
        ) from error
    return Identity(f"https://{host}:{port}", tls, mount / "token")


def _read(kubeconfig: Path) -> Identity:
    config = yaml.safe_load(kubeconfig.read_text())
    context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
    user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
    with tempfile.TemporaryDirectory() as scratch:

        def file(entry: Json, key: str) -> Path:
            if key in entry:
                return (kubeconfig.parent / str(entry[key])).resolve()
            inline = Path(scratch) / key
            inline.touch(mode=0o600)
            inline.write_bytes(base64.b64decode(entry[f"{key}-data"]))
            return inline

        tls = ssl.create_default_context(cafile=str(file(cluster, "certificate-authority")))
        tls.load_cert_chain(file(user, "client-certificate"), file(user, "client-key"))
    return Identity(str(cluster["server"]).rstrip("/"), tls)
