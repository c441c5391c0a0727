"""Where a pod's ports really are: pod IP and port to a socket on loopback, shared through small files.

Pod IPs of the embedded cluster exist only in the API. The agent publishes here what it gave to a pod before
it reports the pod as running; the balancer looks it up at the moment it connects. One file for each pod IP,
`<lab>/addresses/10.244.1.5.json`, so nothing polls or waits. Refuses addresses that are not on loopback.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

Address = tuple[str, int]


class AddressBook:
    """The agent publishes and withdraws; anything with access to the lab's folder can look up."""

    def __init__(self, lab_dir: Path) -> None:
        self.folder = lab_dir / "addresses"
        self._read: dict[str, tuple[tuple[int, int], dict[str, str]]] = {}  # pod IP -> (identity, content)

    def publish(self, pod_ip: str, ports: Mapping[int, str]) -> None:
        """Set the addresses of a pod: `{8000: "127.0.0.1:41234"}`; what was there is replaced."""
        for address in ports.values():
            if not address.startswith("127.0.0.1:"):
                raise ValueError(f"{address} is not on loopback")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # No sync: after a crash of the machine no pod is left, so nothing here is worth keeping.
        handle, name = tempfile.mkstemp(dir=self.folder)
        with os.fdopen(handle, "w") as file:
            json.dump({str(port): address for port, address in ports.items()}, file)
        Path(name).replace(self._path(pod_ip))

    def withdraw(self, pod_ip: str) -> None:
        """Remove a pod's addresses, if there are any: new connections to it are refused."""
        self._path(pod_ip).unlink(missing_ok=True)

    def retain(self, pod_ips: Collection[str]) -> None:
        """Remove all pods except these; a restarted agent calls this first."""
        for path in self.folder.glob("*.json"):
            if path.stem not in pod_ips:
                path.unlink(missing_ok=True)

    def lookup(self, pod_ip: str, port: int) -> Address | None:
        """The loopback address behind a pod's port, as of now; None if nothing was published."""
        address = self._ports(pod_ip).get(str(port))
        if address is None:
            return None
        host, _, number = address.rpartition(":")
        return host, int(number)

    def _ports(self, pod_ip: str) -> dict[str, str]:
        path = self._path(pod_ip)
        try:
            stat = path.stat()
        except FileNotFoundError:
            self._read.pop(pod_ip, None)
            return {}
        identity = (stat.st_mtime_ns, stat.st_ino)
        known = self._read.get(pod_ip)
        if known is None or known[0] != identity:
            known = self._read[pod_ip] = (identity, json.loads(path.read_text()))
        return known[1]

    def _path(self, pod_ip: str) -> Path:
        return self.folder / f"{pod_ip}.json"
