"""`python -P -m localcluster.netns.probe NFT`: can this machine carry a lab's network? Tried, not guessed.

Started in new namespaces, which end with it: links, addresses, routes, and one transaction of the kinds of
rules that kube-proxy needs. The only output is a line of JSON, see `Answer`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass

from localcluster.netns import furnish
from localcluster.netns.pods import PodNetworks
from localcluster.netns.rules import HAIRPIN, apply

RULES = """\
add table ip probe
add chain ip probe out { type nat hook output priority -100 ; }
add chain ip probe post { type nat hook postrouting priority 100 ; }
add chain ip probe pass { type filter hook forward priority 0 ; }
add chain ip probe service
add set ip probe ips { type ipv4_addr ; }
add map ip probe services { type ipv4_addr . inet_proto . inet_service : verdict ; }
add rule ip probe pass ct state new ip daddr @ips reject
add rule ip probe out ip daddr . meta l4proto . th dport vmap @services
add rule ip probe service meta l4proto tcp dnat ip addr . port to numgen random mod 2 map \
{ 0 : 10.244.2.4 . 8000 , 1 : 10.244.3.2 . 8000 }
add rule ip probe post mark and 0x00004000 != 0 mark set mark xor 0x00004000 masquerade fully-random
"""


@dataclass(frozen=True)
class Answer:
    """What is missing; empty words: nothing.

    Without `network` no lab with its own network can run; without `rules` kube-proxy can't, and Services are
    balanced by the lab's own process; without `hairpin` a pod can't reach itself through its Service.
    """

    network: str = ""
    rules: str = ""
    hairpin: str = ""


def tried(nft: str) -> Answer:
    """Make what a lab makes, in this process."""
    try:
        furnish.links(furnish.FORWARD)
        PodNetworks().make("probe", "10.244.1.2")
    except OSError as error:
        return Answer(network=f"links between network namespaces (veth): {error.strerror}")
    if rules := apply(nft, RULES):
        return Answer(rules=rules)
    return Answer(hairpin=apply(nft, HAIRPIN))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(tried(sys.argv[1]))))
    sys.stdout.flush()
    os._exit(0)
