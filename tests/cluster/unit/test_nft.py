"""labkit's own nft takes what kube-proxy says and what labkit writes, as nftables' nft does.

It refuses the rest aloud.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from shlex import quote

import pytest

from localcluster import spawn
from localcluster.node.policy.compile import ruleset
from localcluster.node.policy.pods import NamedPort
from localcluster.node.policy.reading import read
from localcluster.toolchain import ladder, versions
from localcluster.toolchain.golang import Go
from tests.cluster.kube_proxy.record import RECORDED, VERSION
from tests.cluster.unit.policy_world import NAMESPACES, pod, policy

LABKIT = RECORDED.parent / "labkit.nft"
REAL = shutil.which("nft", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
GO = shutil.which("go")
NEXT = "--- the next transaction"


def _refusal() -> str:
    """Why these tests can't run here; empty if they can."""
    if sys.platform != "linux":
        return "nft is for Linux"
    if not GO:
        return "needs a Go compiler on PATH"
    done = spawn.run(["unshare", "-Urn", "true"]) if shutil.which("unshare") else None
    return "" if done and done.returncode == 0 else "needs `unshare`, and a network namespace of its own"


pytestmark = pytest.mark.skipif(bool(_refusal()), reason=_refusal())
needs_real = pytest.mark.skipif(not REAL, reason="needs nftables' own nft (1.0.1 or newer) to compare with")


@cache
def ours() -> Path:
    return ladder.ensure(["nft"])["nft"]


def in_namespace(*lines: str) -> tuple[int, str, str]:
    """Run lines of shell in a fresh network, where `nft` is ours."""
    head = f'set -e; nft() {{ {quote(str(ours()))} "$@"; }}; '
    done = spawn.run(["unshare", "-Urn", "sh", "-c", head + "\n".join(lines)], seconds=60)
    return done.returncode, done.stdout, done.stderr


def replayed(nft: Path | str, files: Sequence[Path]) -> list[str]:
    """The rules in a fresh network after one nft took each of the files, as the real nft lists them."""
    program, listed = quote(str(nft)), f"{REAL} list ruleset" if REAL else "true"
    lines = [
        f"{program} --check -f {quote(str(f))}; {program} -f - < {quote(str(f))}; {listed}; echo {NEXT}"
        for f in files
    ]
    status, out, said = in_namespace(*lines)
    assert (status, said) == (0, "")
    return out.split(f"{NEXT}\n")


def transactions() -> list[Path]:
    found = sorted(RECORDED.glob("*.nft"))
    assert len(found) > 10
    return found


def test_the_recording_is_of_the_kube_proxy_that_is_pinned() -> None:
    """If it is not: docs/kubernetes-upgrade.md says how to make a new one."""
    assert (RECORDED / VERSION).read_text().strip() == versions.pins().releases["kubernetes"]


def test_it_takes_all_that_kube_proxy_says() -> None:
    replayed(ours(), transactions())


@needs_real
def test_each_transaction_makes_the_same_rules_as_with_the_real_one() -> None:
    assert REAL
    theirs = replayed(REAL, transactions())
    assert any("numgen random mod 3 vmap" in rules for rules in theirs)
    assert replayed(ours(), transactions()) == theirs


@needs_real
def test_it_makes_the_same_rules_of_what_labkit_writes() -> None:
    assert REAL
    theirs = replayed(REAL, [LABKIT])
    assert "fib daddr . iif oif exists" in theirs[0]
    assert replayed(ours(), [LABKIT]) == theirs


def test_it_takes_what_labkit_writes() -> None:
    replayed(ours(), [LABKIT])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("add rule ip t c limit rate 5/second accept", "limit rate 5/second accept"),
        ("add table inet t", "inet"),
        ("add rule ip t c tcp dport http accept", "http"),
    ],
)
def test_unknown_words_are_refused_and_named(text: str, named: str) -> None:
    status, _, said = in_namespace("nft -f - <<'.'", "add table ip t", "add chain ip t c", text, ".")
    assert status == 1
    assert named in said


def test_a_transaction_that_fails_changes_nothing_and_names_the_command() -> None:
    status, out, said = in_namespace(
        "nft -f - <<'.' || nft --json --terse list table ip t >&2",
        "add table ip t",
        "add chain ip t c",
        "add rule ip t c jump nowhere",
        ".",
    )
    assert (status, out) == (1, "")
    lines = said.splitlines()
    assert lines[0] == "Error: Could not process rule: No such file or directory"
    assert lines[1] == "add rule ip t c jump nowhere"
    assert "No such file or directory" in lines[2]  # there is no table


def test_a_check_changes_nothing() -> None:
    status, _, said = in_namespace("nft --check add table ip t", "nft --json --terse list table ip t")
    assert status == 1
    assert "No such file or directory" in said


def test_a_large_transaction_needs_no_room_for_answers() -> None:
    status, out, said = in_namespace(
        "{ echo add table ip t; seq 1200 | sed 's/^/add chain ip t c/'; } | nft -f -",
        "nft --json --terse list table ip t",
    )
    assert (status, said) == (0, "")
    assert sum("chain" in one for one in json.loads(out)["nftables"]) == 1200


MADE = """nft -f - <<'.'
add table ip t
add chain ip t c
add set ip t s { type ipv4_addr . inet_proto . inet_service ; }
add map ip t m { type inet_proto . inet_service : verdict ; }
add element ip t s { 10.0.0.1 . tcp . 80 , 10.0.0.2 . udp . 53 }
add element ip t m { tcp . 80 : goto c , udp . 53 : drop }
add counter ip t n
.
"""


def test_it_lists_what_kube_proxy_asks_for() -> None:
    status, out, said = in_namespace(
        MADE,
        "nft delete element ip t s '{ 10.0.0.2 . udp . 53 }'",
        "nft add element ip t m '{ sctp . 7 : jump c }'",
        *(f"nft --json list {words}" for words in ("set ip t s", "map ip t m", "counters table ip t")),
    )
    assert (status, said) == (0, "")
    found = [json.loads(line)["nftables"] for line in out.splitlines()]
    assert all(one[0]["metainfo"]["json_schema_version"] == 1 for one in found)
    assert found[0][1]["set"]["elem"] == [{"concat": ["10.0.0.1", "tcp", 80]}]
    elements = {tuple(key["concat"]): value for key, value in found[1][1]["map"]["elem"]}
    assert elements == {
        ("tcp", 80): {"goto": {"target": "c"}},
        ("udp", 53): {"drop": None},
        ("sctp", 7): {"jump": {"target": "c"}},
    }
    assert found[2][1]["counter"]["name"] == "n"


def test_elements_are_deleted_all_or_none() -> None:
    status, out, said = in_namespace(
        MADE,
        "nft delete element ip t s '{ 10.0.0.2 . udp . 53 , 10.0.0.9 . tcp . 7 }' || true",
        "nft --json list set ip t s",
    )
    assert status == 0
    assert "10.0.0.9 . tcp . 7" in said
    assert len(json.loads(out)["nftables"][1]["set"]["elem"]) == 2


@pytest.mark.parametrize(
    "words", ["list ruleset", "list table ip t", "--json list ruleset", "--json list chain ip t c"]
)
def test_what_it_cannot_list_it_refuses(words: str) -> None:
    status, out, said = in_namespace(f"nft {words}")
    assert (status, out) == (1, "")
    assert said.startswith("Error: this nft")


def test_the_version_is_one_that_kube_proxy_accepts() -> None:
    done = spawn.run([ours(), "--version"])
    assert done.stdout == f"nftables v{versions.pins().releases['nftables']} (labkit)\n"


def test_its_go_tests() -> None:
    assert GO
    module = versions.pins().modules["controlplane"]
    folder = module.folder / "cmd"
    assert spawn.run([Path(GO).resolve().parent / "gofmt", "-l", folder]).stdout == ""
    for verb in ("vet", "test"):
        flags = [flag for flag in module.flags() if not flag.startswith("-ldflags")]
        done = spawn.run(
            [GO, "-C", module.folder, verb, *flags, "./cmd/nft"], env=Go(Path(GO)).environment(), seconds=600
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_takes_what_policies_become(tmp_path: Path) -> None:
    """Each text replaces the one before: as the node agent applies them."""
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.1.2.0/24"]}}
    ports = [
        {"port": 80, "endPort": 90},
        {"port": "http"},
        {"protocol": "UDP", "port": 53},
        {"protocol": "SCTP"},
    ]
    peers = [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "load"}}}, block]
    rich = {"podSelector": {}, "ingress": [{"from": peers, "ports": ports}, {"ports": ports}, {}]}
    out = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": peers, "ports": ports}]}
    pods = (
        pod(2, "shop", ports=(NamedPort("http", "tcp", 8000),), app="db"),
        pod(3, "shop", app="web"),
        pod(4, "bench", app="load"),
    )
    files: list[Path] = []
    for policies in ([], [policy({"podSelector": {}})], [policy(rich), policy(out)], []):
        files.append(tmp_path / f"{len(files)}.nft")
        files[-1].write_text(ruleset([read(each) for each in policies], pods, NAMESPACES))
    replayed(ours(), files)
