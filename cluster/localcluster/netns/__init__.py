"""The lab's own network: a user and network namespace, the pods' networks in it, and the way in and out.

    plan.py        the addresses of nodes, pods and Services
    rtnl.py        links, addresses and routes by rtnetlink
    holder.py      finds the lab's namespace, or has bubblewrap make one
    furnish.py     the lab's own links in it; then the process that holds it
    rules.py       the lab's own nftables rules
    probe.py       whether this machine can carry all that
    enter.py       runs a command in it
    pods.py        a network namespace for each pod
    beside.py      gives such a network to a program of the lab
    edge.py        the process between this machine's loopback and the lab
    doors.py       asks the edge: for a door, for a connected socket
    outward.py     the agent's connections to other registries
    relay.py       moves bytes between two sockets

Needs user namespaces, as bubblewrap does; no root, no `ip`, no bridge. Pods have no way to the internet.
"""
