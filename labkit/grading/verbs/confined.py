"""What a student's process hands to a verb, as it may be: the broker asks here before it does anything.

The grader holds the keys of a whole cluster and works on the instructor's disk. So a path stays in the
student's own copy of the course, an image is built from the course's files and no others, a machine that is
added or switched off is one of the lab's, and what outlives the namespace is noted: the cluster is renewed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import BadInput
from labkit.grading.verbs import commands, permits
from labkit.grading.verbs.contexts import context_of, image
from labkit.grading.verbs.permits import named, whole
from labkit.kube import documents
from labkit.lab import NAMESPACE
from labkit.load import Closed, Open

EXERCISES = "exercises"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")
MACHINE = re.compile(r"gpu-node-[a-z0-9]{1,10}")
OBJECT = re.compile(r"([a-z][a-z.-]{0,80}/)?[A-Za-z0-9][\w.:-]{0,250}")
RAW = re.compile(r"/apis/([a-z]+\.)?metrics\.k8s\.io/[\w./*-]*")
API = re.compile(r"apiservice/v1beta\d\.custom\.metrics\.k8s\.io")
MOST_NODES, MOST_GPUS, MOST_REPLICAS, MOST_IMAGES = 1000, 8, 12, 20
MOST_USERS = 200  # at a time; of independent ones, whose answers nobody waits for, a hundred times as many
Words = dict[str, Any]
Given = tuple[list[Any], Words]


@dataclass
class Confined:
    """The arguments of one notebook's calls. `spread` says whether a reset would not undo them all."""

    seat: Path
    edition: Path
    shared: bool = False
    """Whether others use the cluster: then nothing is done that a reset would not undo."""
    addresses: set[str] = field(default_factory=set)
    """Those that the lab gave."""
    spread: bool = False
    odd: list[str] = field(default_factory=list)
    """What is done, and yet a person should look at."""

    def allowed(self, verb: str, args: list[Any], words: Words) -> Given:
        """The arguments as the verb gets them; raises `BadInput` where no cell of the course says that.

        The rule of a verb is the method of its name; a verb without one takes what it is given.
        """
        rule: Callable[[list[Any], Words], Given] | None = getattr(self, f"_{verb}", None)
        given = rule(args, words) if rule else (args, words)
        if self.shared and self.spread:
            self.spread = False
            raise BadInput(f"{verb} changes a cluster that others use, too.", fix="Do it on embedded.")
        return given

    def _kubectl(self, args: list[Any], words: Words) -> Given:
        permits.refuse_words(words, ())
        if tuple(args[:-1]) == commands.KUSTOMIZED:
            return [*commands.KUSTOMIZED, self._courses_own(args[-1], "manifests/overlays")], words
        commands.refuse_options(args)
        self.spread |= commands.beyond_namespace(args)
        return args, words

    def _plain(self, args: list[Any], words: Words) -> Given:
        """Names of objects, of kinds, of services: no option of kubectl, no path, no way to another one."""
        for one in [*args, *(value for key, value in words.items() if key != "selector")]:
            if isinstance(one, str) and one:
                named(one, OBJECT, "object")
        return args, words

    _object = _objects = _show = _events = _scale = _kill = _follow = _url = _plain
    _record = _ledger = _doctor = _plain

    def _why(self, args: list[Any], words: Words) -> Given:
        self._plain([], {key: value for key, value in words.items() if key != "title"})
        return args, words

    def _watch(self, args: list[Any], words: Words) -> Given:
        self._plain(args, {})
        return args, words

    def _rollout(self, args: list[Any], words: Words) -> Given:
        permits.refuse_words(words, ())
        commands.refuse_options(["rollout", *args])
        return args, words

    def _raw(self, args: list[Any], words: Words) -> Given:
        """Metrics only: an API server shows its machine's logs under another path."""
        permits.refuse_words(words, ())
        path = named(args[0], RAW, "metrics path")
        if ".." in path:
            raise BadInput(f"{path:.100} leads elsewhere.", fix="Write the path as the course does.")
        return [path], words

    def _patch(self, args: list[Any], words: Words) -> Given:
        """An aggregated API is led back to a service of its own namespace: nothing else is patched so."""
        target, change = args
        name = _service_of(change)
        if not API.fullmatch(str(target)) or name is None:
            raise BadInput(f"{target!s:.60} is not for a graded run to patch so.", fix="Patch its service.")
        self.spread = True
        return [target, {"spec": {"service": {"name": named(name, NAME, "service")}}}], words

    def _delete(self, args: list[Any], words: Words) -> Given:
        """Files of the course by their paths, objects by their names."""
        files = [one for one in args if str(one).startswith("manifests/")]
        objects = [one for one in args if one not in files]
        commands.refuse_targets(objects)
        return [*(permits.own_path(self.seat, one) for one in files), *objects], words

    def _curl(self, args: list[Any], words: Words) -> Given:
        permits.refuse_address(args[0], self.addresses)
        return args, words

    def _load(self, args: list[Any], words: Words) -> Given:
        """On the lab's own addresses, and no larger than one machine carries."""
        permits.refuse_words(words, permits.LOAD)
        if "url" in words:
            permits.refuse_address(words["url"], self.addresses)
        [shape] = args
        if not isinstance(shape, Closed | Open) or _size(shape) > MOST_USERS:
            raise BadInput(
                f"A graded run has no load of this size: {shape!r:.100}.", fix="As the course does."
            )
        return args, words

    def _plant(self, args: list[Any], words: Words) -> Given:
        self.spread = True
        return [self._courses_own(args[0], "manifests/*/faults")], words

    def _courses_own(self, given: Any, where: str) -> Path:
        path = permits.own_path(self.seat, given)
        if EXERCISES in path.parts:
            raise BadInput(f"{given!s:.100} is not the course's own.", fix=f"Name what lies below {where}.")
        return path

    def _apply(self, args: list[Any], words: Words) -> Given:
        return [self.manifest(one) for one in args], words

    def manifest(self, given: Any) -> Path:
        """A file or folder of the student's copy; what they wrote holds the course's kinds only."""
        path = permits.own_path(self.seat, given)
        files = list(path.rglob("*.yaml")) if path.is_dir() else [path]
        if EXERCISES in path.parts:
            for one in files:
                released = self.edition / one.relative_to(self.seat)
                permits.refuse_foreign(one, released)
                if more := sorted(permits.kinds(one) - permits.kinds(released)):
                    self.odd.append(
                        f"{one.name} makes a {', a '.join(more)}, which its released file does not"
                    )
                if one.name in documents.KUSTOMIZATION and one.read_bytes() != released.read_bytes():
                    raise BadInput(f"{one.name} could name any address.", fix="Leave it as it is.")
        self.spread |= any(map(permits.spreading, files))
        return path

    def _manifest(self, args: list[Any], words: Words) -> Given:
        path = permits.own_path(self.seat, args[0])
        if not path.is_file():
            raise BadInput(f"{args[0]!s:.100} is no file.", fix="Name one file below manifests/.")
        return [path], words

    def _build(self, args: list[Any], words: Words) -> Given:
        context, name = args
        if len(list(self.seat.glob("context-*"))) >= MOST_IMAGES:
            raise BadInput(f"This notebook has built {MOST_IMAGES} images.", fix="Build each of them once.")
        folder = Path(tempfile.mkdtemp(prefix="context-", dir=self.seat))  # of which the jail sees nothing
        return [context_of(context, self.edition, folder), image(name, new=True)], words

    def _push(self, args: list[Any], words: Words) -> Given:
        self.spread = True  # a registry forgets nothing
        return [image(args[0], new=True)], words

    def _tag(self, args: list[Any], words: Words) -> Given:
        return [image(args[0]), image(args[1], new=True)], words

    def _digest(self, args: list[Any], words: Words) -> Given:
        return [image(args[0])], words

    def _login(self, args: list[Any], words: Words) -> Given:
        username, password = map(str, args)
        return [username, password], words

    def _pull_secret(self, args: list[Any], words: Words) -> Given:
        permits.refuse_words(words, ("namespace", "password"))
        place = words.get("namespace", NAMESPACE)
        if place not in {NAMESPACE, "default"}:
            raise BadInput(f"No secret of the course is in namespace {place!s:.60}.", fix=f"{NAMESPACE}")
        self.spread |= place != NAMESPACE
        return [named(args[0], NAME, "secret")], {key: str(value) for key, value in words.items()}

    def _plug_in(self, args: list[Any], words: Words) -> Given:
        permits.refuse_words(words, ("gpus", "gpu_product"))
        self.spread = True
        gpus = whole(words.get("gpus", 0), MOST_GPUS, "GPUs of one machine")
        return [named(args[0], MACHINE, "machine")], {**words, "gpus": gpus}

    def _machine(self, args: list[Any], words: Words) -> Given:
        self.spread = True
        return [named(args[0], MACHINE, "machine")], words

    _start_node = _stop_node = _machine

    def _kwok(self, args: list[Any], words: Words) -> Given:
        permits.refuse_words(words, ("nodes",))
        self.spread = True
        return args, {"nodes": whole(words.get("nodes"), MOST_NODES, "nodes that KWOK plays")}

    def _logs(self, args: list[Any], words: Words) -> Given:
        permits.refuse_words(words, ("previous", "tail"))
        return [named(args[0], NAME, "pod")], words

    def _trial(self, args: list[Any], words: Words) -> Given:
        permits.refuse_words(words, ())
        choice, day = args
        if isinstance(choice, int):
            return [whole(choice, MOST_REPLICAS, "replicas"), str(day)], words
        return [self.manifest(choice), str(day)], words


def _size(shape: Closed | Open) -> float:
    return shape.most if isinstance(shape, Closed) else len(shape.arrivals) / 100


def _service_of(change: Any) -> Any:
    """The one thing that a patch of an APIService may say; None where it says anything else."""
    try:
        [(spec, inner)] = change.items()
        [(service, innermost)] = inner.items()
        [(key, name)] = innermost.items()
    except (AttributeError, TypeError, ValueError):
        return None
    return name if (spec, service, key) == ("spec", "service", "name") else None
