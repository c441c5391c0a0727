"""`localcluster up --dry-run`: the whole start-up as a person would type it; lesson material and golden test.

Nothing is started or written. Ports are chosen at the start, so here they have names.
"""

from __future__ import annotations

from collections.abc import Iterable

from localcluster.embedded import files
from localcluster.embedded.component import Component
from localcluster.layout import Layout
from localcluster.provider import Spec

HEAD = """\
# localcluster up --name {name}: what it does, step by step.
# Only the edge listens on this machine, on 127.0.0.1; all others do in the lab's own network, with TLS.
# Real: etcd, API server, controllers, scheduler, kube-proxy, CoreDNS, registry, Prometheus, adapter.
# Simulated: the nodes ({nodes}), their GPUs, and the time that a GPU takes.
# CLOCK={clock:g}: one second here stands for {clock:g} seconds of production.

LAB={dir}
BIN={bin}

# 1. Certificates (ECDSA): two authorities, one identity for each part, in $LAB/pki.
# 2. kubeconfigs for each identity in $LAB/kubeconfigs, one for you in $LAB/kubeconfig.
# 3. These processes, each under a supervisor that starts it again if it dies. The first makes the lab's
#    user and network namespace; those after the edge are started in it, as `nsenter` would do.
"""

TAIL = """
# 4. Objects of the lab itself: namespaces, metrics APIs, permissions.
kubectl apply --server-side -f cluster/localcluster/data/bootstrap/

# 5. Wait until all nodes are Ready and custom.metrics.k8s.io and metrics.k8s.io answer.
"""


def transcript(layout: Layout, spec: Spec, components: Iterable[Component], bin_dir: str) -> str:
    """The start-up of `spec` as text."""
    names = ", ".join(n.name for n in files.nodes(spec))
    parts = [HEAD.format(name=layout.dir.name, nodes=names, clock=spec.clock, dir=layout.dir, bin=bin_dir)]
    parts += [f"\n{component.transcript()}\n" for component in components]
    text = "".join([*parts, TAIL])
    head, rest = text.split("\n\n# 1.", 1)
    rest = rest.replace(str(layout.dir), "$LAB").replace(bin_dir, "$BIN")
    return f"{head}\n\n# 1.{rest}"
