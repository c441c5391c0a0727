"""A lab in which random pods live: what is done to them, and what must be true whatever was done.

All of it is real: etcd, API server, scheduler, controllers, the node agent as the lab starts it, bubblewrap.
What it holds is read where it can't be embellished: from the API server's own metrics, from /proc and disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from localcluster import polling, spawn
from localcluster.api import STRATEGIC
from localcluster.embedded.provider import Embedded
from localcluster.errors import WaitTimeout
from localcluster.node.life.blueprint import POD_VARIABLE
from localcluster.node.pod.records import PodRecord
from localcluster.node.process.container import ID_VARIABLE
from tests.cluster.live.lives.tame import IMAGE, NODES, Spec

NAMESPACE = "lives"
HERE = f"/api/v1/namespaces/{NAMESPACE}/pods"
OVER = {"Succeeded", "Failed"}
PATIENCE = 60.0  # seconds, on a busy machine, for what takes a second or two
_EXPECTED = {"404", "409"}  # of a status: the pod has just gone, or has a namesake
_ANSWERS = re.compile(
    r'^apiserver_request_total\{[^}]*code="(\d+)"[^}]*resource="pods"[^}]*subresource="status"[^}]*\} (\S+)',
    re.MULTILINE,
)


@dataclass
class World:
    """One lab, with a client of its administrator."""

    lab: Embedded
    http: httpx.Client
    log_read: int = 0  # bytes of the agent's log
    diary: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # of each pod
    names: dict[str, str] = field(default_factory=dict)  # uid -> name
    made: int = 0  # pods, since the start
    ours: Counter[str] = field(default_factory=Counter)  # answers to statuses that the tests wrote

    # Doing --------------------------------------------------------------------------------------------------

    def ask(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json"
    ) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        return self.http.request(method, path, content=content, headers={"Content-Type": kind})

    def note(self, name: str, what: str, answer: httpx.Response | None = None) -> None:
        said = "" if answer is None else f" -> {answer.status_code}"
        if answer is not None and answer.status_code >= 400:
            said += f" {answer.json().get('message', '')[:200]}"
        self.diary[name].append(what + said)

    def create(self, name: str, spec: Spec) -> bool:
        """Whether the API server has taken the pod."""
        meta = {"name": name, "labels": {"n": "0"}}
        answer = self.ask("POST", HERE, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        self.note(name, f"create {json.dumps(spec)}", answer)
        if answer.is_success:
            self.made += 1
            self.names[answer.json()["metadata"]["uid"]] = name
        return answer.is_success

    def delete(self, name: str, **options: Any) -> None:
        answer = self.ask("DELETE", f"{HERE}/{name}", options)
        self.note(name, f"delete {options}", answer)

    def patch(self, name: str, body: Any, subresource: str = "") -> None:
        answer = self.ask("PATCH", f"{HERE}/{name}{subresource}", body, kind=STRATEGIC)
        self.note(name, f"patch{subresource} {json.dumps(body)}", answer)
        if subresource == "/status":
            self.ours[str(answer.status_code)] += 1

    def object(self, name: str) -> Any:
        """The pod as it is now; nothing if it is gone."""
        answer = self.ask("GET", f"{HERE}/{name}")
        return answer.json() if answer.is_success else {}

    def kill(self, name: str, which: int) -> None:
        """kill -9 of the first process of one of the containers."""
        found = [pid for _, pid in self._firsts(self.object(name).get("metadata", {}).get("uid", "-"))]
        if not found:
            return
        pid = found[which % len(found)]
        self.note(name, f"kill -9 {pid}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _firsts(self, uid: str) -> Iterator[tuple[str, int]]:
        """Container and pid of what runs of a pod, by what bubblewrap has noted."""
        for status in (self.lab.layout.dir / "pods").glob(f"{uid}/*/*/status"):
            with contextlib.suppress(OSError, ValueError):
                noted = {
                    k: v for line in status.read_text().splitlines() for k, v in json.loads(line).items()
                }
                pid = noted.get("child-pid", 0)
                if pid and "exit-code" not in noted and f"{POD_VARIABLE}={uid}".encode() in _environ(pid):
                    yield status.parts[-3], pid

    def agent(self) -> int:
        """The pid of the node agent; 0 between two."""
        proc = spawn.Proc.load(self.lab.layout.record("node-agent"))
        return proc.pid if proc and proc.alive() else 0

    def kill_agent(self) -> None:
        if pid := self.agent():
            os.kill(pid, signal.SIGKILL)
            for name in self.diary:
                self.note(name, "the agent is killed")

    def until_begun(self, name: str) -> None:
        """Wait a moment for the pod to come to something: running, over, or waiting for a reason."""

        def begun() -> bool:
            status = self.object(name).get("status", {"phase": "Gone"})
            reasons = [
                c["state"].get("waiting", {}).get("reason", "began")
                for c in status.get("containerStatuses", ())
            ]
            return status["phase"] != "Pending" or any(
                r not in {"ContainerCreating", "PodInitializing"} for r in reasons
            )

        with contextlib.suppress(WaitTimeout):  # it may wait for a volume, or for a node with room
            polling.until(begun, "a pod to begin", seconds=0.7, every=0.07)

    # What must be true --------------------------------------------------------------------------------------

    def nothing_is_shared(self) -> None:
        """No two pods of a node hold the same address, GPU or host port."""
        before, listed, after = self._held(), self._listed(), self._held()
        for node in NODES:
            holding = [
                (record, listed[uid])
                for uid, record in after.items()
                if record.node == node and uid in before and uid in listed
            ]
            owners: dict[str, list[str]] = defaultdict(list)
            for record, pod in holding:
                for thing in {*_things(record, pod)}:
                    owners[thing].append(record.name)
            shared = {thing: names for thing, names in owners.items() if len(names) > 1}
            assert not shared, self._told(f"shared on {node}: {shared}", *next(iter(shared.values())))

    def _listed(self) -> dict[str, Any]:
        pods = self.ask("GET", HERE).json()["items"]
        return {p["metadata"]["uid"]: p for p in pods if p["status"].get("phase") not in OVER}

    def _held(self) -> dict[str, PodRecord]:
        """The records of pods that hold something, by uid."""
        folders = list((self.lab.layout.dir / "pods").iterdir())
        found = [r for folder in folders if (r := PodRecord.load(folder))]
        return {r.uid: r for r in found if not r.over}

    def all_can_be_deleted(self) -> None:
        """After every pod was deleted none is there, and nothing of any of them."""
        pods = self.ask("GET", HERE).json()["items"]
        for pod in pods:
            if (
                not pod["metadata"].get("deletionTimestamp")
                or pod["metadata"]["deletionGracePeriodSeconds"] > 5
            ):
                self.delete(pod["metadata"]["name"], gracePeriodSeconds=1)

        def left() -> list[str]:
            return [p["metadata"]["name"] for p in self.ask("GET", HERE).json()["items"]]

        self._until(left, "can't be deleted")

    def nothing_is_left(self, at_rest: Counter[str]) -> None:
        """No process, folder, network or mount of a pod, where there is no pod."""
        self._until(lambda: [str(p) for p in (self.lab.layout.dir / "pods").iterdir()], "folders are left")
        self._until(self._processes, "processes are left")
        self._until(lambda: sorted((self.holdings() - at_rest).elements()), "the agent holds")

    def _processes(self) -> list[str]:
        """Of containers and what goes with them, by their environment."""
        lab = f"{spawn.MARKER}={self.lab.layout.dir}".encode()
        found = ((pid, _environ(pid)) for pid in psutil.pids())
        return [
            f"{self._pod(environ)} {pid} {_command(pid)}"
            for pid, environ in found
            if lab in environ and any(entry.startswith(ID_VARIABLE.encode()) for entry in environ)
        ]

    def _pod(self, environ: list[bytes]) -> str:
        uids = [e.decode().partition("=")[2] for e in environ if e.startswith(POD_VARIABLE.encode())]
        return self.names.get(uids[0], uids[0]) if uids else "?"

    def holdings(self) -> Counter[str]:
        """What the agent has open and the lab has linked, as far as pods are concerned."""
        pid = self.agent()
        if not pid:
            return Counter({"no agent": 1})
        try:
            links = Path(f"/proc/{pid}/net/dev").read_text().splitlines()
            handles = [str(handle.readlink()) for handle in Path(f"/proc/{pid}/fd").iterdir()]
            mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        except OSError:  # it has ended in the meantime
            return Counter({"no agent": 1})
        return Counter(
            {
                "links of pods": sum(line.strip().startswith("veth") for line in links),
                "network namespaces": sum(h.startswith("net:[") for h in handles),
                "mounts": len(mounts),
                "usage of GPUs": len(list((self.lab.layout.dir / "gpus").glob("*/usage/*"))),
            }
        )

    def all_gpus_are_free(self) -> None:
        """A pod that asks its node for all of them gets them."""
        main = {
            "name": "c0",
            "image": IMAGE,
            "command": ["true"],
            "resources": {"limits": {"nvidia.com/gpu": 4}},
        }
        spec = {"containers": [main], "restartPolicy": "Never", "nodeName": NODES[0]}
        assert self.create("all-gpus", spec)
        self._until(
            lambda: [] if self.object("all-gpus")["status"].get("phase") in OVER else ["all-gpus"],
            "does not end",
        )
        assert self.object("all-gpus")["status"]["phase"] == "Succeeded", self._told("no GPUs", "all-gpus")
        self.delete("all-gpus", gracePeriodSeconds=1)

    def answers(self) -> Counter[str]:
        """How often the API server gave which answer to a status, by its own count; ours apart."""
        found: Counter[str] = Counter()
        for code, count in _ANSWERS.findall(self.http.get("/metrics").text):
            found[code] += int(float(count))
        return found - self.ours

    def no_status_is_refused(self, before: Counter[str]) -> None:
        new = self.answers() - before
        refused = {code: n for code, n in new.items() if code.startswith("4") and code not in _EXPECTED}
        events = [e for e in self._events() if e["reason"] == "FailedStatusUpdate"]
        names = [e["involvedObject"]["name"] for e in events]
        assert not refused, self._told(f"statuses were refused: {refused} {events}", *names)

    def the_agent_is_well(self) -> None:
        """Nothing broke in it."""
        log = self.lab.layout.log("node-agent")
        with log.open("rb") as file:
            file.seek(self.log_read)
            text = file.read().decode(errors="replace")
        self.log_read += len(text.encode(errors="replace"))
        assert "Traceback" not in text, text[-6000:]

    def _events(self) -> list[Any]:
        found: list[Any] = self.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/events").json()["items"]
        return found

    def _until(self, left: Callable[[], list[str]], what: str) -> None:
        try:
            polling.until(lambda: not left(), what, seconds=PATIENCE, every=0.1)
        except WaitTimeout:
            names = left()
            raise AssertionError(self._told(f"{what}: {names}", *names)) from None

    def _told(self, what: str, *names: str) -> str:
        """What happened, with all that is known of these pods."""
        lines = [what]
        words = [text.partition(" ")[0].rpartition("/")[2] for text in names]
        for name in dict.fromkeys(self.names.get(word, word) for word in words):
            lines += [f"--- {name}", *self.diary.get(name, ())]
            lines += [
                f"  {e['reason']}: {e['message']}"
                for e in self._events()
                if e["involvedObject"]["name"] == name
            ]
            lines.append(json.dumps(self.object(name).get("status")))
        return "\n".join(lines)


def _things(record: PodRecord, pod: Any) -> Iterator[str]:
    spec = pod["spec"]
    if not spec.get("hostNetwork"):
        yield record.pod_ip
    yield from (gpu for gpus in record.gpus.values() for gpu in gpus)
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        for port in container.get("ports", ()):
            if port.get("hostPort"):
                yield f"{port.get('protocol', 'TCP')} {port.get('hostIP', '')}:{port['hostPort']}"


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    return "gone"
