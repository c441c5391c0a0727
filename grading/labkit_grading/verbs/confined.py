"""Which arguments a student's process can pass to a verb: the broker asks here before it does anything.

The grader has admin rights on a whole cluster and works on the instructor's disk. So a path stays in the
student's own copy of the course, an image is built from the course's files only, a machine that is added or
switched off is one of the lab's, and anything that outlives the namespace is noted, so that the cluster gets
replaced. The rules are methods here; each verb's record in `table` names its own.
"""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import BadInput
from labkit.kube import documents, kubectl
from labkit.kube.namespaces import NAMESPACE
from labkit.load import Closed, Open
from labkit_grading.verbs import commands, permits
from labkit_grading.verbs.contexts import context_of, image
from labkit_grading.verbs.permits import named, whole
from labkit_grading.verbs.slips import Slip

EXERCISES = "exercises"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")
MACHINE = re.compile(r"gpu-node-[a-z0-9]{1,10}")
OBJECT = re.compile(r"([a-z][a-z.-]{0,80}/)?[A-Za-z0-9][\w.:-]{0,250}")
RAW = re.compile(r"/apis/([a-z]+\.)?metrics\.k8s\.io/[\w./*-]*")
SERVERS = ("monitoring", "keda")
"""The namespaces of the programs that answer metrics APIs."""
API = re.compile(r"apiservice/v1beta\d\.(custom|external)\.metrics\.k8s\.io")
MOST_NODES, MOST_GPUS, MOST_REPLICAS, MOST_IMAGES = 1000, 8, 12, 20
MOST_MODELLED, LONGEST_DAY = 100, 3600.0  # replicas, or plays of the model; lab seconds
MOST_USERS = 200  # at a time; a hundred times as many if they are independent and don't wait for answers
Words = dict[str, Any]
CallArgs = tuple[list[Any], Words]


@dataclass
class Confined:
    """The arguments of one notebook's calls. `spread` is true once a reset would not undo them all."""

    seat: Path
    edition: Path
    shared: bool = False
    """Whether others use the cluster: then nothing is done that a reset would not undo."""
    addresses: set[str] = field(default_factory=set)
    """The addresses that the lab returned."""
    spread: bool = False
    odd: list[str] = field(default_factory=list)
    """What was allowed, but a person should look at."""

    def stay(self, verb: str) -> None:
        """Raise if others use the cluster and the verb's effects would outlive a reset."""
        if self.shared and self.spread:
            self.spread = False
            raise BadInput(f"{verb} changes a cluster that others use.", fix="Use embedded.")

    def as_given(self, args: list[Any], words: Words) -> CallArgs:
        """For harmless arguments: a title, a selector, a query."""
        return args, words

    def kubectl(self, args: list[Any], words: Words) -> CallArgs:
        """One command, split as the lab splits it; returns exactly the words that were checked."""
        permits.refuse_words(words, ("grep",))
        [line] = args
        asked = kubectl.words(line)
        if tuple(asked[:-1]) == commands.KUSTOMIZED:
            asked[-1] = str(self._courses_own(asked[-1], "manifests/overlays"))
        elif service := _led_back(asked):
            names = {key: named(name, NAME, key) for key, name in service.items()}
            asked[-1] = json.dumps({"spec": {"service": names}})
            self.spread = True
        else:
            commands.refuse_options(asked)
            self.spread |= commands.beyond_namespace(asked)
        return [shlex.join(asked)], words

    def get(self, args: list[Any], words: Words) -> CallArgs:
        """Objects by name and kind. Of API paths, only metrics: others can show a machine's logs."""
        permits.refuse_words(words, ("selector",))
        [what] = args
        if not str(what).startswith("/"):
            return self.plain(args, words)
        path = named(what, RAW, "metrics path")
        if ".." in path:
            raise BadInput(f"{path:.100} leads elsewhere.", fix="Write the path as in the course.")
        return [path], words

    def plain(self, args: list[Any], words: Words) -> CallArgs:
        """Names of objects, kinds and services: no kubectl option, no path, nothing outside the namespace."""
        for one in [*args, *(value for key, value in words.items() if key != "selector")]:
            if isinstance(one, str) and one:
                named(one, OBJECT, "object")
        return args, words

    def why(self, args: list[Any], words: Words) -> CallArgs:
        """A name, and any title."""
        self.plain([], {key: value for key, value in words.items() if key != "title"})
        return args, words

    def watch(self, args: list[Any], words: Words) -> CallArgs:
        """Kinds by name; conditions and loads are passed on as they are."""
        self.plain(args, {})
        return args, words

    def delete(self, args: list[Any], words: Words) -> CallArgs:
        """Course files by path, objects by name."""
        files = [one for one in args if str(one).startswith("manifests/")]
        objects = [one for one in args if one not in files]
        commands.refuse_targets(objects)
        return [*(permits.own_path(self.seat, one) for one in files), *objects], words

    def curl(self, args: list[Any], words: Words) -> CallArgs:
        """An address that the lab returned."""
        permits.refuse_address(args[0], self.addresses)
        return args, words

    def load(self, args: list[Any], words: Words) -> CallArgs:
        """Only on the lab's own addresses, and no larger than one machine can handle."""
        permits.refuse_words(words, permits.LOAD)
        permits.refuse_headers(words.get("headers") or {})
        if "url" in words:
            permits.refuse_address(words["url"], self.addresses)
        [shape] = args
        if not isinstance(shape, Closed | Open) or _size(shape) > MOST_USERS:
            raise BadInput(
                f"A load of this size is not allowed in a graded run: {shape!r:.100}.",
                fix="Use the form that the course uses.",
            )
        return args, words

    def gateway(self, args: list[Any], words: Words) -> CallArgs:
        """A picker's configuration: one of the course's, or a student's with other numbers."""
        permits.refuse_words(words, ())
        if not args:
            return args, words
        path = permits.own_path(self.seat, args[0])
        if not path.is_file():
            raise Slip(f"{args[0]!s:.100} is not a file.", fix="Name one file below manifests/.")
        permits.refuse_picker(path, self.edition / path.relative_to(self.seat))
        return [path], words

    def plant(self, args: list[Any], words: Words) -> CallArgs:
        """One of the course's own faults."""
        return [self._courses_own(args[0], "manifests/*/faults")], words

    def _courses_own(self, given: Any, where: str) -> Path:
        path = permits.own_path(self.seat, given)
        if EXERCISES in path.parts:
            raise BadInput(
                f"{given!s:.100} is not one of the course's.", fix=f"Name something below {where}."
            )
        return path

    def apply(self, args: list[Any], words: Words) -> CallArgs:
        """Files and folders in the student's copy."""
        return [self.manifest(one) for one in args], words

    def manifest(self, given: Any) -> Path:
        """A file or folder in the student's copy; what they wrote contains only the course's kinds."""
        path = permits.own_path(self.seat, given)
        files = list(path.rglob("*.yaml")) if path.is_dir() else [path]
        if EXERCISES in path.parts:
            for one in files:
                released = self.edition / one.relative_to(self.seat)
                permits.refuse_foreign(one, released)
                if more := sorted(permits.kinds(one) - permits.kinds(released)):
                    self.odd.append(
                        f"{one.name} makes a {', a '.join(more)}, which the released file does not"
                    )
                if one.name in documents.KUSTOMIZATION and permits.lines(one) != permits.lines(released):
                    raise BadInput(f"{one.name} could contain any address.", fix="Leave it unchanged.")
        self.spread |= any(map(permits.spreading, files))
        return path

    def one_file(self, args: list[Any], words: Words) -> CallArgs:
        """One file in the student's copy."""
        path = permits.own_path(self.seat, args[0])
        if not path.is_file():
            raise Slip(f"{args[0]!s:.100} is not a file.", fix="Name one file below manifests/.")
        return [path], words

    def build(self, args: list[Any], words: Words) -> CallArgs:
        """One of the course's folders, under one of the course's names."""
        permits.refuse_words(words, ("quiet",))
        context, name = args
        if len(list(self.seat.glob("context-*"))) >= MOST_IMAGES:
            raise BadInput(f"This notebook has built {MOST_IMAGES} images.", fix="Build each of them once.")
        folder = Path(tempfile.mkdtemp(prefix="context-", dir=self.seat))  # which the jail can't see
        return [context_of(context, self.edition, folder), image(name, new=True)], words

    def push(self, args: list[Any], words: Words) -> CallArgs:
        """Any name except that of the server image that everyone runs."""
        permits.refuse_words(words, ("quiet",))
        return [image(args[0], new=True)], words

    def tag(self, args: list[Any], words: Words) -> CallArgs:
        """Two of the course's names."""
        return [image(args[0]), image(args[1], new=True)], words

    def digest(self, args: list[Any], words: Words) -> CallArgs:
        """One of the course's names."""
        return [image(args[0])], words

    def login(self, args: list[Any], words: Words) -> CallArgs:
        """Plain texts."""
        username, password = map(str, args)
        return [username, password], words

    def pull_secret(self, args: list[Any], words: Words) -> CallArgs:
        """A name, in one of two namespaces."""
        permits.refuse_words(words, ("namespace", "password"))
        place = words.get("namespace", NAMESPACE)
        if place not in {NAMESPACE, "default"}:
            raise BadInput(f"The course has no secret in namespace {place!s:.60}.", fix=f"{NAMESPACE}")
        self.spread |= place != NAMESPACE
        return [named(args[0], NAME, "secret")], {key: str(value) for key, value in words.items()}

    def plug_in(self, args: list[Any], words: Words) -> CallArgs:
        """One more machine, no larger than a real one."""
        permits.refuse_words(words, ("gpus", "gpu_product"))
        gpus = whole(words.get("gpus", 0), MOST_GPUS, "GPUs of one machine")
        return [named(args[0], MACHINE, "machine")], {**words, "gpus": gpus}

    def machine(self, args: list[Any], words: Words) -> CallArgs:
        """One of the lab's machines."""
        return [named(args[0], MACHINE, "machine")], words

    def kwok(self, args: list[Any], words: Words) -> CallArgs:
        """No more nodes than the course uses."""
        permits.refuse_words(words, ())
        [number] = args
        return [whole(number, MOST_NODES, "nodes that KWOK plays")], words

    def trial(self, args: list[Any], words: Words) -> CallArgs:
        """A number of replicas or a file, and one of the study's days."""
        permits.refuse_words(words, ())
        choice, day = args
        if isinstance(choice, int):
            return [whole(choice, MOST_REPLICAS, "replicas"), str(day)], words
        return [self.manifest(choice), str(day)], words

    def what_if(self, args: list[Any], words: Words) -> CallArgs:
        """A question to the model about a file; policies built in the student's process are asked there."""
        permits.refuse_words(words, permits.MODELLED)
        shape, choice, seconds = args
        if not isinstance(shape, Open) or _size(shape) > MOST_USERS or not 0 <= float(seconds) <= LONGEST_DAY:
            raise BadInput(
                f"The model does not support this load: {shape!r:.100}.",
                fix="Use the form that the course uses.",
            )
        if isinstance(choice, int):
            choice = whole(choice, MOST_MODELLED, "replicas of a model")
        elif not (choice := self.manifest(choice)).is_file():
            raise BadInput(f"{choice.name:.100} is not a file.", fix="Name one file below manifests/.")
        words = {
            **words,
            "seconds": float(seconds),
            "play": whole(words.get("play", 0), MOST_MODELLED, "plays"),
        }
        return [shape, choice], words


def _size(shape: Closed | Open) -> float:
    return shape.most if isinstance(shape, Closed) else len(shape.arrivals) / 100


def _led_back(asked: list[str]) -> Words | None:
    """The service to which a command restores an aggregated API; None if it does anything else."""
    match asked:
        case ["patch", target, "--type=merge", "-p", change] if API.fullmatch(target):
            return _service_of(change)
    return None


def _service_of(change: str) -> Words | None:
    """The only change that a patch of an APIService can make: another service, by name (and namespace)."""
    try:
        [(spec, inner)] = json.loads(change).items()
        [(service, names)] = inner.items()
        right = (spec, service) == ("spec", "service") and {"name"} <= set(names) <= {"name", "namespace"}
        return dict(names) if right and names.get("namespace", SERVERS[0]) in SERVERS else None
    except (AttributeError, TypeError, ValueError, RecursionError):
        return None
