"""Which network a lab gets: what this machine can carry is tried, and what it lacks is said."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
import struct
import sys
from pathlib import Path

import pytest

from localcluster import spawn
from localcluster.embedded import network
from localcluster.embedded.network import Network, choose
from localcluster.layout import Layout
from localcluster.netns import furnish
from localcluster.toolchain.locate import bwrap
from tests.cluster.unit.netns_world import REFUSED, usable

NFT = shutil.which("nft")
BWRAP = str(bwrap())
namespaces = pytest.mark.skipif(not usable(), reason=REFUSED)
tables = pytest.mark.skipif(NFT is None, reason="there is no nft on PATH")


ARM = platform.machine() == "aarch64"
FILTERS = {
    "no netlink": (198 if ARM else 41, socket.AF_NETLINK, "Operation not permitted"),
    "no setns": (268 if ARM else 308, None, "Operation not permitted"),
}
"""The number of a system call, its first argument if only that is refused, and what is said then."""


def program(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    made = folder / "nft"
    made.write_text(f"#!/bin/sh\n{text}\n")
    made.chmod(0o755)
    return made


def test_without_isolation_nothing_is_tried() -> None:
    found = choose("none", Path("/nowhere/nft"))
    assert (found, found.own) == (Network("loopback"), False)


@namespaces
@tables
def test_with_nf_tables_kube_proxy_forwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert NFT
    assert choose("bubblewrap", Path("/nowhere/nft")) == Network(furnish.FORWARD, NFT, BWRAP)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    odd = ("echo no such option >&2; exit 1", "echo 'nftables v0.9.8 (E.D.S.)'", "echo nftables")
    for text in (*odd, "echo 'nftables v1.0.9 (Old Doc)'; test $1 = --version"):
        made = program(tmp_path, text)
        assert shutil.which("nft") == str(made)  # then ours
        assert choose("bubblewrap", Path(NFT)) == Network(furnish.FORWARD, NFT, BWRAP)


@namespaces
def test_without_nf_tables_it_is_said_what_is_lacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    found = choose("bubblewrap", program(tmp_path / "ours", "echo Operation not supported >&2; exit 1"))
    network.save(Layout(tmp_path), found, said.append)
    assert (found.services, found.own) == (furnish.OWN, True)
    assert said == [
        (
            "network: nf_tables does not work here (Operation not supported): "
            "Services are TCP only, no policy is enforced"
        )
    ]
    assert network.load(Layout(tmp_path)) == found


@namespaces
@tables
def test_a_kernel_without_the_hairpin_rule_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    script = (
        f'rules=$(cat); case $rules in *hairpin*) echo no fib >&2; exit 1; esac; echo "$rules" | {NFT} -f -'
    )
    half = program(tmp_path, script)
    assert choose("bubblewrap", half) == Network(
        furnish.FORWARD, str(half), BWRAP, "a pod can't reach itself through its Service (no fib)"
    )


@namespaces
def test_where_user_namespaces_are_refused_there_is_an_error_with_the_fix() -> None:
    inside = [str(bwrap()), "--dev-bind", "/", "/", "--unshare-user", "--disable-userns"]
    script = "from pathlib import Path; from localcluster.embedded.network import choose\n"
    script += "choose('bubblewrap', Path('/nowhere/nft'))"
    done = spawn.run([*inside, sys.executable, "-c", script])
    assert (
        "ProviderError: A lab can't have a network of its own on this machine: user namespaces:"
        in done.stderr
    )
    assert "Fix: " in done.stderr


@namespaces
@pytest.mark.parametrize("limit", [0, 1])
def test_where_a_limit_of_the_kernel_is_too_low_it_is_named_with_the_command_that_raises_it(
    limit: int,
) -> None:
    done = limited(
        limit, "from localcluster.embedded.network import choose; choose('bubblewrap', Path('/no/nft'))"
    )
    assert f"limits are too low: user.max_net_namespaces is {limit}" in done.stderr
    assert "sudo sysctl -w user.max_net_namespaces=15000" in done.stderr
    assert "apparmor" not in done.stderr


@namespaces
def test_a_pod_that_gets_no_network_says_which_limit_is_reached() -> None:
    make = "from localcluster.netns.pods import PodNetworks; PodNetworks().make('uid', '10.244.1.2')"
    said = limited(0, make).stderr
    assert "the kernel allows no more namespaces here (user.max_net_namespaces is 0)" in said


@namespaces
@pytest.mark.parametrize(("call", "first", "error"), FILTERS.values(), ids=FILTERS)
def test_where_a_container_refuses_half_way_there_is_an_error_with_the_fix(
    tmp_path: Path, call: int, first: int | None, error: str
) -> None:
    script = "from pathlib import Path; from localcluster.embedded.network import choose; "
    script += "choose('bubblewrap', Path('/no/nft'))"
    filters, write = os.pipe()
    os.write(write, refusing(call, first))
    os.close(write)
    inside = [str(bwrap()), "--dev-bind", "/", "/", "--seccomp", str(filters), "--"]
    log = tmp_path / "log"
    spawn.popen([*inside, sys.executable, "-c", script], pass_fds=[filters], log=log).wait(60)
    os.close(filters)
    said = log.read_text()
    assert "ProviderError: A lab can't have a network of its own on this machine: " in said
    assert error in said
    assert "cause: The kernel lacks it, or this container may not use it." in said
    assert "Fix: Load the module (sudo modprobe veth), or" in said


def refusing(call: int, first: int | None) -> bytes:
    """A seccomp filter that refuses a system call, if its first argument is this one."""
    load, equal, give = 0x20, 0x15, 0x06  # BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ, BPF_RET
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EPERM
    asked = [] if first is None else [(load, 0, 0, 16), (equal, 0, 1, first)]
    number = [(load, 0, 0, 0), (equal, 0, len(asked) + 1, call)]
    answers = [(give, 0, 0, refuse), (give, 0, 0, allow)]
    return b"".join(struct.pack("=HBBI", *step) for step in (*number, *asked, *answers))


def limited(limit: int, script: str) -> spawn.Finished:
    """Run Python where the kernel allows so many network namespaces."""
    inside = [str(bwrap()), "--dev-bind", "/", "/", "--unshare-user", "--uid", "0", "--cap-add", "ALL", "--"]
    shell = 'echo "$1" > /proc/sys/user/max_net_namespaces && exec "$2" -c "$3"'
    script = f"from pathlib import Path; {script}"
    return spawn.run([*inside, "/bin/sh", "-c", shell, "-", str(limit), sys.executable, script])
