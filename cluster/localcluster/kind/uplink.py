"""How fast the lab's registry sends to all nodes together: a limit of the kernel (`tc`, a token bucket).

Images of real model servers are too large for a laptop: those of the course have a hundredth of the bytes,
over a link that is a hundredth as fast. So a pull takes its time, and the kubelet's events say so.
"""

from __future__ import annotations

from localcluster.errors import ProviderError
from localcluster.images.declared import PART, RATE
from localcluster.kind.engine import Engine
from localcluster.kind.settings import Settings
from localcluster.provider import Report

_SHAPE = """\
dev=$(ip -o -4 address show | awk -v at="{address}/" 'index($4, at) == 1 {{print $2}}')
tc qdisc replace dev "$dev" root tbf rate {rate}bit burst {burst} latency 400ms
"""
_BURST = 256 * 1024


def limit(engine: Engine, settings: Settings, network: str, report: Report) -> None:
    """Limit it; where the kernel can't, say so: everything works, and large images come at once."""
    rate = bytes_per_second(settings.spec.clock)
    template = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    try:
        address = engine.run("container", "inspect", "--format", template, settings.registry)
        head = f"{settings.cluster}-control-plane"
        node = engine.run("container", "inspect", "--format", "{{.Config.Image}}", head)
        words = ("run", "--rm", "--network", f"container:{settings.registry}", "--cap-add", "NET_ADMIN")
        script = _SHAPE.format(address=address, rate=8 * rate, burst=_BURST)
        engine.run(*words, "--entrypoint", "sh", node, "-euc", script)
    except ProviderError as error:
        report(f"the registry sends as fast as it can, so large images are there at once: {error.what}")
    else:
        report(
            f"the registry sends {rate / 1e6:g} MB/s to the nodes, {RATE / PART / 1e6:g} MB in a lab second"
        )


def bytes_per_second(clock: float) -> int:
    """Real bytes in a real second."""
    return round(RATE / PART * clock)
