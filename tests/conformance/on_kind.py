"""The suite's images for the nodes of a kind cluster.

Nodes have a loopback of their own, so 127.0.0.1 of this machine is not theirs. A second registry, on the
address that this machine has in their network, serves the same images; each node's containerd is told of it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster.api.client import Api
from localcluster.kind.engine import Engine
from tests.conformance import images

_NETWORK = "kind"
_HOSTS = 'server = "http://{0}"\n[host."http://{0}"]\ncapabilities = ["pull", "resolve"]\n'


@contextmanager
def reached(folder: Path, address: str, kubeconfig: Path) -> Iterator[None]:
    """Nodes find the registry of `folder` (see `images.registry`) where images call it `address`, too."""
    engine = Engine.chosen()
    theirs = f"{_gateway(engine)}:{address.rpartition(':')[2]}"
    place = f"/etc/containerd/certs.d/{address}"
    with images.registry(folder, theirs):
        for node in Api(kubeconfig).get("/api/v1/nodes")["items"]:
            write = f"mkdir -p {place} && cat > {place}/hosts.toml"
            name = str(node["metadata"]["name"])
            engine.run("exec", "-i", name, "sh", "-c", write, stdin=_HOSTS.format(theirs))
        yield


def _gateway(engine: Engine) -> str:
    """This machine's IPv4 address in the nodes' network."""
    said = engine.run(
        "network", "inspect", _NETWORK, "--format", "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
    )
    return next(each for each in said.split() if ipaddress.ip_address(each).version == 4)
