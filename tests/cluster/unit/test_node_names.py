"""A pod is called, and knows others, as the kubelet writes it down."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from localcluster.node.pod import volumes
from localcluster.node.pod.objects import ObjectReader
from localcluster.node.process import names
from localcluster.node.process.environment import ConfigError
from localcluster.node.process.names import Names


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web-0", "namespace": "ns"}, "spec": {"nodeName": "node-1", **spec}}


LONG = "a" * 62 + "-b.example"


@pytest.mark.parametrize(
    ("spec", "host", "domain", "kernel"),
    [
        ({}, "web-0", "", "web-0"),
        ({"hostname": "web"}, "web", "", "web"),
        ({"subdomain": "svc"}, "web-0", "svc.ns.svc.cluster.local", "web-0"),
        (
            {"subdomain": "svc", "setHostnameAsFQDN": True},
            "web-0",
            "svc.ns.svc.cluster.local",
            "web-0.svc.ns.svc.cluster.local",
        ),
        ({"setHostnameAsFQDN": True}, "web-0", "", "web-0"),
        ({"hostnameOverride": "db.example.org", "subdomain": "svc"}, "db.example.org", "", "db.example.org"),
        ({"hostnameOverride": LONG}, "a" * 62, "", "a" * 62),
        ({"hostNetwork": True, "hostname": "web"}, "node-1", "", "node-1"),
    ],
)
def test_hostnames(spec: dict[str, Any], host: str, domain: str, kernel: str) -> None:
    found = names.names(pod(**spec))
    assert (found.host, found.domain, found.kernel) == (host, domain, kernel)


def test_a_full_name_that_the_kernel_can_not_hold_is_refused() -> None:
    found = names.names(pod(hostname="h" * 50, subdomain="svc", setHostnameAsFQDN=True))
    with pytest.raises(ConfigError, match=r"is too long \(64 characters is the max, 75 char"):
        _ = found.kernel


def test_the_hosts_file_is_the_kubelets() -> None:
    aliases = [{"ip": "10.1.2.3", "hostnames": ["db", "db.example"]}]
    spec = pod(subdomain="svc", hostAliases=aliases)
    assert names.hosts(spec, names.names(spec), ip="10.244.1.2", node="") == (
        "# Kubernetes-managed hosts file.\n"
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\n"
        "fe00::0\tip6-mcastprefix\n"
        "fe00::1\tip6-allnodes\n"
        "fe00::2\tip6-allrouters\n"
        "10.244.1.2\tweb-0.svc.ns.svc.cluster.local\tweb-0\n"
        "\n# Entries added by HostAliases.\n"
        "10.1.2.3\tdb\tdb.example\n"
    )
    assert names.hosts(pod(), Names("web-0"), ip="10.244.1.2", node="").endswith("\n10.244.1.2\tweb-0\n")


def test_a_pod_on_its_nodes_network_has_its_nodes_hosts() -> None:
    spec = pod(hostNetwork=True, hostAliases=[{"ip": "10.1.2.3", "hostnames": ["db"]}])
    assert names.hosts(spec, names.names(spec), ip="127.0.0.1", node="127.0.0.1 box\n") == (
        "# Kubernetes-managed hosts file (host network).\n127.0.0.1 box\n"
        "\n# Entries added by HostAliases.\n10.1.2.3\tdb\n"
    )


DNS = "10.96.0.10"
SEARCH = "search ns.svc.cluster.local svc.cluster.local cluster.local"
CLUSTER = f"{SEARCH}\nnameserver 10.96.0.10\noptions ndots:5\n"
CONFIG = {
    "nameservers": ["1.2.3.4"],
    "searches": ["a.example", "b.example"],
    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
}
ALONE = "search a.example b.example\nnameserver 1.2.3.4\noptions ndots:2 edns0\n"
NONE = "# no name server: the nodes of the lab have none\n"


@pytest.mark.parametrize(
    ("spec", "written"),
    [
        ({}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst"}, CLUSTER),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, NONE),  # as its node, which has none
        ({"dnsPolicy": "Default"}, NONE),
        ({"dnsPolicy": "Default", "dnsConfig": CONFIG}, ALONE),
        ({"dnsPolicy": "None", "dnsConfig": CONFIG}, ALONE),
    ],
)
def test_the_dns_policy_says_whom_a_pod_asks(spec: dict[str, Any], written: str) -> None:
    assert names.resolver(pod(**spec), DNS) == written


def test_a_dns_config_is_merged_with_the_clusters() -> None:
    assert names.resolver(pod(dnsConfig=CONFIG), DNS) == (
        f"{SEARCH} a.example b.example\nnameserver 10.96.0.10\nnameserver 1.2.3.4\noptions ndots:2 edns0\n"
    )
    twice = {"nameservers": [DNS, "1.2.3.4"], "searches": ["cluster.local", "a.example"]}
    assert names.resolver(pod(dnsConfig=twice), DNS) == (
        f"{SEARCH} a.example\nnameserver 10.96.0.10\nnameserver 1.2.3.4\noptions ndots:5\n"
    )


def test_more_name_servers_than_a_resolver_asks_are_left_out_and_named() -> None:
    three = pod(dnsConfig={"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3"]})
    written = names.resolver(three, DNS)
    assert [line for line in written.splitlines() if line.startswith("nameserver")] == [
        "nameserver 10.96.0.10",
        "nameserver 1.1.1.1",
        "nameserver 2.2.2.2",
    ]
    assert names.left_out(written, three).endswith("nameserver line is: 10.96.0.10 1.1.1.1 2.2.2.2")
    two = pod(dnsConfig={"nameservers": ["1.1.1.1", "2.2.2.2"]})
    assert names.left_out(names.resolver(two, DNS), two) == ""
    assert names.left_out(names.resolver(pod(), DNS), pod()) == ""


def test_a_lab_without_dns_of_its_own_writes_only_what_the_pod_asks_for() -> None:
    assert names.resolver(pod()) == NONE
    assert names.resolver(pod(dnsConfig=CONFIG)) == ALONE


ENV = {"POD_NAME": "web-0", "EMPTY": "", "UP": "..", "ROOT": "/etc", "TICKS": "`id`"}


@pytest.mark.parametrize(
    ("mount", "sub"),
    [
        ({}, ""),
        ({"subPath": "a/$(POD_NAME)"}, "a/$(POD_NAME)"),
        ({"subPathExpr": "logs/$(POD_NAME)"}, "logs/web-0"),
        ({"subPathExpr": "$(TICKS)"}, "`id`"),  # a name like any other
        ({"subPathExpr": "$$(POD_NAME)"}, "$(POD_NAME)"),
    ],
)
def test_a_sub_path_expression_is_expanded(mount: dict[str, str], sub: str) -> None:
    assert volumes._wanted(mount, ENV) == sub


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$(NONE)/$(EMPTY)", "missing value for EMPTY, NONE"),
        ("$(ROOT)", "error SubPath `/etc` must not be an absolute path"),
        ("a/$(UP)", "unable to provision SubPath `a/..`"),
    ],
)
def test_a_sub_path_expression_that_leads_nowhere_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        volumes._wanted({"subPathExpr": text}, ENV)


def test_pods_that_share_a_volume_by_an_expression_do_not_write_over_each_other(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o1777)
    spec = pod(volumes=[{"name": "data", "emptyDir": {}}])
    mount = {"name": "data", "mountPath": "/logs", "subPathExpr": "$(POD_NAME)"}
    container = {"name": "main", "volumeMounts": [mount]}
    held = volumes.Volumes(tmp_path, cast("ObjectReader", None))  # nothing is read
    (found,) = volumes.mounts(container, spec, held, ENV)
    assert found.source == tmp_path / "data" / "web-0"
    assert found.source.stat().st_mode == (tmp_path / "data").stat().st_mode  # any user may write, as there
