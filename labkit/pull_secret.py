"""The secret that a pod's `imagePullSecrets` names: a registry's host with a login, of one namespace.

Refuses to put the password on a command line: arguments of a process can be read by everybody.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from labkit.kube.client import Kube
from labkit.providers.base import RegistryAccess

TYPE = "kubernetes.io/dockerconfigjson"


def make(kube: Kube, access: RegistryAccess, *, name: str, namespace: str = "") -> None:
    """As `kubectl create secret docker-registry NAME`; one of that name is replaced."""
    place = ("--namespace", namespace or kube.namespace)
    entry = {"username": access.username, "password": access.password}
    kube.kubectl("delete", "secret", name, "--ignore-not-found", *place)
    with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
        file = Path(folder) / "config.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps({"auths": {access.host: entry}}))
        content = f"--from-file=.dockerconfigjson={file}"
        kube.kubectl("create", "secret", "generic", name, f"--type={TYPE}", content, *place)
