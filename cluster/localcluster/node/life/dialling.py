"""Where the host and port of a probe or hook really are: pod IPs exist only in the API, ports on loopback."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from localcluster.node.life.http_get import Dial
from localcluster.node.pod.context import PodContext

_LOOPBACK = "127.0.0.1"
_PODS = ip_network("10.244.0.0/16")


def dialler(pod: PodContext) -> Dial:
    """For what a pod's manifest names: its own ports, those of other pods, or another host.

    Other hosts are used unchanged, and so are ports that no pod declares.
    """

    def dial(host: str, port: int) -> tuple[str, int]:
        if host == pod.record.pod_ip:
            return _own(pod, port)
        if not _is_pod(host):
            return host, port
        return pod.machine.addresses.lookup(host, port) or (_LOOPBACK, port)

    return dial


def _own(pod: PodContext, port: int) -> tuple[str, int]:
    for taken in pod.record.ports.values():
        if address := taken.get(str(port)):
            host, _, number = address.rpartition(":")
            return host, int(number)
    return _LOOPBACK, port


def _is_pod(host: str) -> bool:
    try:
        return ip_address(host) in _PODS
    except ValueError:
        return False
