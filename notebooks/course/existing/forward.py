"""`kubectl port-forward` to one pod, to look at its pages: /metrics, /health.

Never for load: a forward stays with one pod, whatever the Service would do, and all bytes go through the
API server. Forwards live as long as this Python process.
"""

from __future__ import annotations

import atexit
import os
import re

from labkit.errors import ProviderError
from labkit.kube.client import Kube
from localcluster import spawn
from localcluster.api.kubectl import binary
from localcluster.api.objects import KubeObject

_SAID = re.compile(r"Forwarding from (127\.0\.0\.1:\d+)")


class Forwards:
    """The forwards to the pods of one namespace: one per pod, started when first needed."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._open: dict[str, tuple[spawn.Piped, str]] = {}

    def address(self, pod: KubeObject) -> str:
        """The `host:port` on this machine that forwards to the pod's first port."""
        uid = str(pod.at("metadata.uid", pod.name))
        child, address = self._open.get(uid, (None, ""))
        if child is None or child.poll() is not None:
            self._open[uid] = child, address = self._forward(pod)
        return address

    def _forward(self, pod: KubeObject) -> tuple[spawn.Piped, str]:
        port = pod.at("spec.containers.0.ports.0.containerPort", 8000)
        place = ("--namespace", self._kube.namespace)
        env = {**os.environ, "KUBECONFIG": str(self._kube.kubeconfig)}
        child = spawn.piped([binary(), "port-forward", *place, f"pod/{pod.name}", f":{port}"], env=env)
        atexit.register(child.terminate)
        assert child.stdout
        found = _SAID.search(child.stdout.readline())
        if found is None:
            assert child.stderr
            raise ProviderError(
                f"Port {port} of pod {pod.name} can't be forwarded: {child.stderr.read().strip()}",
                cause="The pod does not run, or this user may not create pods/portforward.",
                fix=f"kubectl auth can-i create pods/portforward; kubectl get pod {pod.name}",
            )
        return child, found[1]
