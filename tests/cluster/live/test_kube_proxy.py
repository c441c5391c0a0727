"""kube-proxy and CoreDNS from one program, and kube-proxy on top of labkit's nft."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from localcluster import spawn
from localcluster.toolchain import ladder, versions
from tests.cluster.kube_proxy.record import RECORDED

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="both are for Linux")


def said(*words: str) -> str:
    done = spawn.run([ladder.ensure(["labnet"])["labnet"], *words], seconds=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_part_tells_its_version() -> None:
    releases = versions.pins().releases
    assert said("kube-proxy", "--version") == f"Kubernetes v{releases['kubernetes']}\n"
    assert said("coredns", "--version").startswith(f"CoreDNS-{releases['coredns']}\n")


def test_kube_proxy_has_no_flag_of_coredns() -> None:
    flags = said("kube-proxy", "--help")
    assert "--hostname-override" in flags
    assert "--version version[=true]" in flags
    assert not {"--conf", "--dns.port", "--pidfile", "--plugins", "--quiet", "-p,"} & set(flags.split())


def test_coredns_has_the_plugins_of_a_lab_and_no_way_out() -> None:
    listed = set(said("coredns", "--plugins").split())
    assert {"bind", "cache", "errors", "health", "kubernetes", "loadbalance", "ready", "template"} <= listed
    assert "forward" not in listed


def test_another_program_is_refused() -> None:
    done = spawn.run([ladder.ensure(["labnet"])["labnet"], "kubelet"])
    assert done.returncode == 2
    assert '"kubelet" is not a program of it' in done.stderr


def test_kube_proxy_says_nothing_new_and_has_no_complaint(tmp_path: Path) -> None:
    """Fails if it says a kind of rule that the recording lacks, or logs an error."""
    done = spawn.run([sys.executable, "-m", "tests.cluster.kube_proxy.record", tmp_path], seconds=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shapes(tmp_path) <= shapes(RECORDED)


PROTOCOLS = {"tcp", "udp", "sctp"}


def shapes(folder: Path) -> set[str]:
    """The commands, without what differs from run to run: names, addresses, numbers, protocols.

    Of which Service it adds or deletes an element alone depends on what came together in one transaction.
    """
    words = [line.split() for path in folder.glob("*.nft") for line in path.read_text().splitlines()]
    kept = [[w for w in line if w.isalpha() and w.islower() and w not in PROTOCOLS] for line in words]
    return {" ".join(line) for line in kept}
