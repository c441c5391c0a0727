"""A pod's host name, /etc/hosts and /etc/resolv.conf, as the kubelet makes them.

Pure. Nodes of the lab have no name server of their own: with the policy `Default` a pod has none either.
https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from localcluster.api import Json
from localcluster.node.process.environment import ConfigError

_DOMAIN = "cluster.local"
_MOST_HOST, _MOST_KERNEL = 63, 64  # characters
_MOST_SERVERS = 3  # the C library asks no more, and the kubelet writes no more
_HEADER = "# Kubernetes-managed hosts file.\n"
_HEADER_OF_THE_NODE = "# Kubernetes-managed hosts file (host network).\n"
_LOCAL = (
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
)
_NO_SERVER = "# no name server: the nodes of the lab have none\n"


@dataclass(frozen=True)
class Names:
    """A pod's host name, and its domain where it has one."""

    host: str
    domain: str = ""
    full: bool = False  # the kernel gets both

    @property
    def kernel(self) -> str:
        """What `hostname` shows."""
        whole = f"{self.host}.{self.domain}" if self.full and self.domain else self.host
        if len(whole) > _MOST_KERNEL:
            raise ConfigError(
                f"failed to construct FQDN from pod hostname and cluster domain, FQDN {whole} is too long "
                f"({_MOST_KERNEL} characters is the max, {len(whole)} characters requested)"
            )
        return whole


def names(pod: Json) -> Names:
    """From `hostnameOverride`, else `hostname` and `subdomain`, else the pod's name; or the node's own."""
    spec, meta = pod["spec"], pod["metadata"]
    if spec.get("hostNetwork"):
        return Names(_short(spec.get("nodeName", "")))
    if spec.get("hostnameOverride"):
        return Names(_short(spec["hostnameOverride"]))
    host = _short(spec.get("hostname") or meta["name"])
    if not spec.get("subdomain"):
        return Names(host)
    domain = f"{spec['subdomain']}.{meta['namespace']}.svc.{_DOMAIN}"
    return Names(host, domain, bool(spec.get("setHostnameAsFQDN")))


def _short(name: str) -> str:
    return name if len(name) <= _MOST_HOST else name[:_MOST_HOST].rstrip("-.")


def hosts(pod: Json, called: Names, *, ip: str, node: str) -> str:
    """The file /etc/hosts; `node` is the node's own, for pods on its network."""
    aliases = "".join(_aliases(pod["spec"]))
    if pod["spec"].get("hostNetwork"):
        return _HEADER_OF_THE_NODE + node + aliases
    whole = f"{called.host}.{called.domain}\t" if called.domain else ""
    return f"{_HEADER}{_LOCAL}{ip}\t{whole}{called.host}\n{aliases}"


def _aliases(spec: Json) -> Iterator[str]:
    if spec.get("hostAliases"):
        yield "\n# Entries added by HostAliases.\n"
    for alias in spec.get("hostAliases") or ():
        yield "\t".join((alias["ip"], *(alias.get("hostnames") or ()))) + "\n"


def resolver(pod: Json, server: str = "") -> str:
    """The file /etc/resolv.conf; `server` is the cluster's DNS, if it has one. `dnsConfig` adds to it."""
    spec, config = pod["spec"], pod["spec"].get("dnsConfig") or {}
    servers, searches, options = list[str](), list[str](), dict[str, str]()
    if server and _cluster_first(spec):
        namespace = pod["metadata"]["namespace"]
        servers, options = [server], {"ndots": "5"}
        searches = [f"{namespace}.svc.{_DOMAIN}", f"svc.{_DOMAIN}", _DOMAIN]
    servers += config.get("nameservers") or ()
    searches += config.get("searches") or ()
    options |= {o["name"]: o.get("value") or "" for o in config.get("options") or ()}
    words = [f"{name}:{value}" if value else name for name, value in options.items()]
    lines = [f"search {' '.join(dict.fromkeys(searches))}\n"] if searches else []
    lines += [f"nameserver {each}\n" for each in [*dict.fromkeys(servers)][:_MOST_SERVERS]]
    lines += [f"options {' '.join(words)}\n"] if words else []
    return "".join(lines) or _NO_SERVER


def left_out(written: str, pod: Json) -> str:
    """The kubelet's warning, where a pod's own name servers did not all find room in resolv.conf."""
    known = [line.split()[1] for line in written.splitlines() if line.startswith("nameserver ")]
    wanted = (pod["spec"].get("dnsConfig") or {}).get("nameservers") or ()
    if set(wanted) <= set(known):
        return ""
    return (
        "Nameserver limits were exceeded, some nameservers have been omitted, "
        f"the applied nameserver line is: {' '.join(known)}"
    )


def _cluster_first(spec: Json) -> bool:
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    return policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.get("hostNetwork"))
