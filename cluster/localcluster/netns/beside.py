"""`python -P -m localcluster.netns.beside IP COMMAND…`: runs a program of the lab in a network like a pod's.

Its traffic is forwarded, so NetworkPolicies of others let it in or not. It starts in the lab's namespace.
"""

from __future__ import annotations

import os
import sys

from localcluster.netns.pods import PodNetworks


def main(arguments: list[str]) -> None:
    """Make the network, and become the command in it."""
    ip, *command = arguments
    networks = PodNetworks()
    name = f"{ip}-{os.getpid()}"
    networks.make(name, ip)
    networks.enter(name)
    os.execvp(command[0], command)  # noqa: S606 - there is no shell


if __name__ == "__main__":
    main(sys.argv[1:])
