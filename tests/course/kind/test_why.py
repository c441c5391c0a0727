"""`labkit why` on a cluster of kubeadm: the controller manager runs in a pod, so its flags are known."""

from __future__ import annotations

import sys

from labkit.kube import Kube
from localcluster import polling, spawn


def test_the_controllers_flags_are_read_from_its_pod(namespace: Kube) -> None:
    namespace.kubectl("create", "deployment", "web", "--image=registry.k8s.io/pause:3.10")
    namespace.kubectl("autoscale", "deployment", "web", "--min=1", "--max=3", "--cpu=50%")
    argv = [sys.executable, "-m", "labkit.cli", "why", "hpa/web", "-n", namespace.namespace]

    def told() -> str:
        done = spawn.run([*argv, "--kubeconfig", str(namespace.kubeconfig)], seconds=60)
        return done.stdout + done.stderr if "Stays at 1: there is no usable CPU" in done.stdout else ""

    # A pod without a CPU request has no utilization, on any cluster.
    said = polling.until(told, "the controller to say what is missing", seconds=120, every=2)
    assert "as read from pod/kube-controller-manager-" in said
