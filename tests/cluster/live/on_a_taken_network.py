"""A lab beside a company's network: `unshare --user --map-root-user --net python -m` this module.

The machine's network has the lab's ranges already, with a server on an address of each. Prints, as JSON, what
was heard at a Service and a pod of the lab from within it, and at the same addresses from outside.
"""

from __future__ import annotations

import json
import socketserver
import sys
import threading

import httpx

from labkit import pull_secret, reset
from labkit.kube import Kube
from localcluster import polling
from localcluster.netns.rtnl import Netlink
from localcluster.provider import Spec
from tests.cluster.live.test_network import IDLE, SERVER, apply, get, pod, service
from tests.clusters import push, running

SERVICE, COMPANY = "10.96.77.7", b"HTTP/1.0 200 OK\r\n\r\ncompany"


class Handler(socketserver.StreamRequestHandler):
    """The company's server."""

    def handle(self) -> None:
        """One answer for all."""
        self.rfile.readline()
        self.wfile.write(COMPANY)


def main() -> None:
    """All of it."""
    with Netlink() as net:
        net.up("lo")
        for taken in ("10.96.0.0/16", "10.244.0.0/16"):
            net.own(taken, "lo")
    with running(Spec(name="taken", gpu_nodes=0, cpu_nodes=1)) as lab:
        push(lab, "queue_server")
        kube = Kube(lab.kubeconfig(), namespace="here")
        kube.ensure_namespace()
        pull_secret.make(kube, lab.registry(), name=reset.PULL_SECRET)
        apply(kube, pod("web", SERVER), service("web", clusterIP=SERVICE), pod("client", IDLE))
        kube.until("pod/web ready", "pod/client ready", seconds=60)
        ip = kube.object("pod/web").at("status.podIP")
        urls = [f"http://{SERVICE}/", f"http://{ip}:8000/"]
        servers = [socketserver.ThreadingTCPServer(at, Handler) for at in ((SERVICE, 80), (ip, 8000))]
        for server in servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        polling.until(lambda: "failed" not in get(kube, "client", urls[0])[0], "the Service", seconds=30)
        inside = get(kube, "client", *urls)
        outside = [httpx.get(url, trust_env=False).text for url in urls]
        door = httpx.get(lab.address("here", "web", 80), trust_env=False).text.split()[-1]
        sys.stdout.write(json.dumps([inside, outside, door]) + "\n")


if __name__ == "__main__":
    main()
