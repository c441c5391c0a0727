"""Notebook 01: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

import copy
from typing import Any

from labkit.evidence.states import Span, States
from tests.course.mutants import Case

REPO = "registry.lab:5000/me/llm-inference"
ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")


def deployment(image: str) -> dict[str, Any]:
    return {"spec": {"replicas": 2, "template": {"spec": {"containers": [{"image": image}]}}}}


def servers(*digests: str, ready: bool = True, app: str = "llm-model") -> list[dict[str, Any]]:
    return [
        {
            "metadata": {"labels": {"app": app}},
            "status": {"containerStatuses": [{"ready": ready, "imageID": f"{REPO}@{digest}"}]},
        }
        for digest in digests
    ]


def pod(phase: str, *secrets: str) -> dict[str, Any]:
    return {"spec": {"imagePullSecrets": [{"name": s} for s in secrets]}, "status": {"phase": phase}}


def tries(*starts: float) -> States:
    spans = tuple(Span("ErrImagePull", start, start + 4) for start in starts)
    return States(15, {"wrong-login": spans})


SEEN = tries(5.6, 15.3, 36.3, 75.9, 156.9)
BOTH = {"deployment": deployment(f"{REPO}:latest"), "pods": [*servers(ONE, TWO), *servers(TWO, app="other")]}
PINNED = {"deployment": deployment(f"{REPO}@{ONE}"), "pods": servers(ONE, ONE)}


def changed(thing: dict[str, Any], **new: Any) -> dict[str, Any]:
    return {**copy.deepcopy(thing), **new}


PASSING: list[Case] = [
    ("01.host", {"answer": "docker.io"}),
    ("01.host", {"answer": "https://index.docker.io/"}),
    ("01.layers", {"answer": [6, 5], "sent": (5, 6)}),
    ("01.digest", {"answer": ONE, "digest": ONE}),
    ("01.two-versions", BOTH),
    ("01.pinned", PINNED),
    ("01.pulled", {"pod": pod("Running", "my-login")}),
    ("01.backoff", {"answer": [10, 20, 40, 80], "seen": SEEN}),
    ("01.backoff", {"answer": [10, 21, 40], "seen": SEEN}),
    ("01.mended", {"place": "llm-lab", "pod": pod("Running", "team-login")}),
]

MUTANTS: list[Case] = [
    ("01.host", {"answer": "my-registry"}),
    ("01.host", {"answer": "registry.lab:5000"}),
    ("01.host", {"answer": "Docker Hub"}),
    ("01.host", {"answer": "localhost"}),
    ("01.layers", {"answer": [5], "sent": (5, 6)}),
    ("01.layers", {"answer": [1, 2, 3, 4, 5, 6], "sent": (5, 6)}),
    ("01.layers", {"answer": [4, 5], "sent": (5, 6)}),
    ("01.layers", {"answer": [0, 1], "sent": (5, 6)}),
    ("01.layers", {"answer": "the last two", "sent": (5, 6)}),
    ("01.digest", {"answer": TWO, "digest": ONE}),
    ("01.digest", {"answer": "1" * 64, "digest": ONE}),
    ("01.digest", {"answer": "sha256:<sha256 _hashlib.HASH object>", "digest": ONE}),
    ("01.two-versions", changed(BOTH, pods=servers(ONE, ONE))),
    ("01.two-versions", changed(BOTH, pods=servers(ONE, TWO, ready=False))),
    ("01.two-versions", changed(BOTH, deployment=deployment(f"{REPO}@{ONE}"))),
    ("01.two-versions", changed(BOTH, deployment=None)),
    ("01.pinned", changed(PINNED, deployment=deployment(f"{REPO}:latest"))),
    ("01.pinned", changed(PINNED, deployment=deployment(f"{REPO}@{ONE[:19]}"))),
    ("01.pinned", changed(PINNED, pods=servers(ONE, TWO))),
    ("01.pinned", changed(PINNED, pods=servers(ONE))),
    ("01.pinned", changed(PINNED, pods=servers(TWO, TWO))),
    ("01.pulled", {"pod": None}),
    ("01.pulled", {"pod": pod("Pending", "my-login")}),
    ("01.pulled", {"pod": pod("Running")}),
    ("01.pulled", {"pod": pod("Pending", "registry-login")}),
    ("01.pulled", {"pod": pod("Pending")}),
    ("01.backoff", {"answer": [10, 10, 10, 10], "seen": SEEN}),
    ("01.backoff", {"answer": [10, 20, 30, 40], "seen": SEEN}),
    ("01.backoff", {"answer": [10, 20], "seen": SEEN}),
    ("01.backoff", {"answer": [5.6, 15.3, 36.3, 75.9], "seen": SEEN}),  # moments
    ("01.backoff", {"answer": "they double", "seen": SEEN}),
    ("01.mended", {"place": "default", "pod": pod("Running", "team-login")}),
    ("01.mended", {"place": "team", "pod": pod("Pending", "team-login")}),
    ("01.mended", {"place": "llm-lab", "pod": pod("Pending", "team-login")}),
    ("01.mended", {"place": "llm-lab", "pod": None}),
]
