"""The lab's own nftables rules, and how a transaction of rules is applied."""

from __future__ import annotations

import asyncio

from localcluster import spawn
from localcluster.errors import LabError

HAIRPIN = """\
add table ip labkit
add chain ip labkit hairpin { type filter hook forward priority 0 ; }
flush chain ip labkit hairpin
add rule ip labkit hairpin ct status dnat fib daddr . iif oif exists meta mark set meta mark or 0x4000
"""
"""A pod that reaches itself through a Service: kube-proxy, which runs once, marks only pods of one node."""


def apply(nft: str, rules: str) -> str:
    """One transaction in the namespace of this process; the error, empty if it was taken."""
    try:
        done = spawn.run([nft, "-f", "-"], stdin=rules)
    except OSError as error:
        return f"{nft}: {error.strerror}"
    return (done.stderr.strip().splitlines() or ["no word"])[0] if done.returncode else ""


async def replace(nft: str, text: str) -> None:
    """One transaction, for the running event loop; raises `LabError` if it was refused."""
    pipe = asyncio.subprocess.PIPE
    try:
        running = await spawn.start([nft, "-f", "-"], stdin=pipe, stderr=pipe)
    except OSError as error:
        raise LabError(f"{nft} can't be started: {error.strerror}") from error
    _, said = await running.communicate(text.encode())
    if running.returncode:
        raise LabError(f"nft refused the rules: {said.decode(errors='replace').strip()[:500]}")
