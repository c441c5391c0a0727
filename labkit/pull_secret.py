"""The secret that a pod's `imagePullSecrets` names: a registry's host and login, in one namespace.

Never puts the password on a command line, where any user of the machine could read it.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from labkit.kube.client import Kube
from localcluster.provider import RegistryAccess

NAME = "registry-login"
"""The secret that a reset gives to each new pod."""
ACCOUNT = "serviceaccount/default"
TYPE = "kubernetes.io/dockerconfigjson"


def make(kube: Kube, access: RegistryAccess, *, name: str, namespace: str = "") -> None:
    """`kubectl create secret docker-registry NAME`, replacing an existing one of that name."""
    place = ("--namespace", namespace or kube.namespace)
    entry = {"username": access.username, "password": access.password}
    kube.kubectl("delete", "secret", name, "--ignore-not-found", *place)
    with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
        file = Path(folder) / "config.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps({"auths": {access.host: entry}}))
        content = f"--from-file=.dockerconfigjson={file}"
        kube.kubectl("create", "secret", "generic", name, f"--type={TYPE}", content, *place)


def give(kube: Kube, name: str) -> None:
    """Make this the ServiceAccount's secret for pods that name none; with an empty name, remove it."""
    secrets = [{"name": name}] if name else []
    kube.kubectl("patch", ACCOUNT, "--patch", json.dumps({"imagePullSecrets": secrets}), "--type=merge")
