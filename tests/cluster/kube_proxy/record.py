"""`python -m tests.cluster.kube_proxy.record FOLDER [NFT]` records what kube-proxy says to nft.

Needs the programs of the toolchain, and Linux with user namespaces. Each transaction becomes a file; those of
an earlier recording in FOLDER are deleted. NFT is the program that carries them out: labkit's own by default.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from localcluster.toolchain import ladder, versions
from tests.cluster.kube_proxy import world
from tests.cluster.kube_proxy.steps import AGAIN, NODE, NODE_IP, STEPS, Object

RECORDED = Path(__file__).parent / "recorded"
VERSION = "kube-proxy"
"""The file of a recording that holds the version of the kube-proxy that was recorded."""

AT_FIRST = "Failed to list existing sets"
"""What kube-proxy says before it has made its table: it asks the kernel itself, whatever nft there is."""

HOME: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}


def main(words: list[str]) -> int:
    """Record, and complain if kube-proxy did."""
    folder = Path(words[0])
    nft = Path(words[1]) if words[1:] else ladder.ensure(["nft"])["nft"]
    ladder.ensure(["labnet", "etcd", "kube-apiserver"])
    world.enter_namespaces()
    with tempfile.TemporaryDirectory(prefix="labkit-kube-proxy-") as name, world.server(Path(name)) as api:
        api.apply(HOME)
        api.apply({**HOME, "status": {"addresses": [{"type": "InternalIP", "address": NODE_IP}]}})
        with world.proxy(Path(name, "first"), nft) as proxy:
            for step in STEPS:
                proxy.take(step, api)
        said = proxy.transactions()
        complaints = [line for line in proxy.complaints() if AT_FIRST not in line]
        for again, changed in AGAIN:  # finds what the one before left, and reads it
            with world.proxy(Path(name, again.name), nft, changed) as proxy:
                proxy.take(again, api)
            said += proxy.transactions()
            complaints += proxy.complaints()
    _write(folder, said)
    print(f"{len(said)} transactions are in {folder}.", *complaints, sep="\n")  # noqa: T201 - a command
    return 1 if complaints else 0


def _write(folder: Path, said: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.nft"):
        old.unlink()
    for number, text in enumerate(said, 1):
        (folder / f"{number:02}.nft").write_text(text)
    (folder / VERSION).write_text(f"{versions.pins().releases['kubernetes']}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
