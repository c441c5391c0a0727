"""Notebook 06: what is right for its checks, and mutants of it, each with one thing wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from course.hpa.policy import Policy
from course.hpa.replica import Server
from course.hpa.scenario import Requests, Scenario
from course.hpa.simulator import Outcome, simulate
from labkit import course
from labkit.evidence import Bill, Event, Series, Timeline
from localcluster.gpus.profile import load
from localcluster.gpus.roofline import PROFILES, profile_name

Points = list[tuple[float, float]]


def recording(desired: Points, *, ready: Points | None = None) -> Timeline:
    """A run in which the burst begins at 45 s; servers are ready 35 s after they were asked for."""
    help_ = [(0.0, desired[0][1]), *((t + 35, v) for t, v in desired[1:])] if ready is None else ready
    series = (Series("desired", "", tuple(desired)), Series("ready", "", tuple(help_)))
    return Timeline(15, "test", series, (Event(45, "the burst begins"),))


def modelled(policy: Policy | int, *, seed: int = 0) -> Outcome:
    """What the what-if model says of a policy under a small load."""
    profile = profile_name("NVIDIA-L4", "meta-llama/Llama-3.1-8B-Instruct")
    server = Server.of(load(course.root() / PROFILES / f"{profile}.toml"), max_num_seqs=8)
    requests = Requests.of_one_size([i / 2 for i in range(240)])
    return simulate(Scenario(requests, policy, server, seed=seed))


def bill(kept: int, cost: float, *, doubts: tuple[str, ...] = ()) -> Bill:
    return Bill(1000, kept, cost, 10, 600, doubts)


BILLS = {"static": bill(250, 1260), "CPU": bill(100, 840), "queue": bill(540, 3500)}
BURST = recording([(0, 2), (60, 4), (75, 8), (90, 10)])
FLAPPING = recording([(0, 2), (150, 4), (200, 7), (260, 3), (330, 9), (470, 5), (500, 2)])
CALM = recording([(0, 4), (150, 5), (200, 6), (560, 4)])
HOME = recording([(0, 6), (60, 4)])
PICKED = bill(930, 2780)
HPA = {"spec": {"minReplicas": 4, "maxReplicas": 6}}
ASKED = {1: (3900.0, 0.94), 5: (3200.0, 0.84), 20: (2300.0, 0.45)}
SHARES = {"static": 0.74, "CPU": 0.57, "queue": 0.58}


def right(points: Points) -> Points:
    kept: Points = []
    for cost, share in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or share > kept[-1][1]:
            kept.append((cost, share))
    return kept


PASSING: list[tuple[str, Mapping[str, Any]]] = [
    ("06.order", {"answer": ["CPU", "static", "queue"], "bills": BILLS}),
    ("06.bill", {"answer": (0.54, 3490), "bill": BILLS["queue"]}),
    ("06.too-late", {"answer": 50, "timeline": BURST}),
    ("06.overshoot", {"answer": (5, 10), "timeline": BURST}),
    ("06.target", {"answer": (1, 20), "asked": ASKED}),
    ("06.curve", {"answer": [(0, 2), (180, 6), (480, 2)], "timeline": FLAPPING}),
    ("06.flapping", {"answer": 3, "timeline": FLAPPING}),
    ("06.frontier", {"frontier": right}),
    ("06.attainment", {"bill": PICKED}),
    ("06.cost", {"bill": PICKED}),
    ("06.model", {"predicted": (2700, 0.88), "bill": PICKED}),
    ("06.bounds", {"timeline": CALM, "hpa": HPA}),
    ("06.calm", {"timeline": CALM}),
    ("06.settled", {"timeline": HOME, "hpa": HPA}),
    ("06.trace", {"answer": "static", "shares": SHARES}),
]

MUTANTS: list[tuple[str, Mapping[str, Any]]] = [
    ("06.order", {"answer": ["CPU", "queue", "static"], "bills": BILLS}),
    ("06.order", {"answer": ["queue", "static", "CPU"], "bills": BILLS}),  # the wrong way round
    ("06.order", {"answer": ["CPU", "static"], "bills": BILLS}),
    ("06.order", {"answer": "CPU, static, queue", "bills": BILLS}),
    ("06.bill", {"answer": (0.54, 420 * 10), "bill": BILLS["queue"]}),  # the peak, all day
    ("06.bill", {"answer": (0.7, 3490), "bill": BILLS["queue"]}),
    ("06.bill", {"answer": (54, 3490), "bill": BILLS["queue"]}),
    ("06.bill", {"answer": (3490, 0.54), "bill": BILLS["queue"]}),
    ("06.bill", {"answer": 0.54, "bill": BILLS["queue"]}),
    ("06.too-late", {"answer": 15, "timeline": BURST}),  # when the HPA asked, not when help came
    ("06.too-late", {"answer": 95, "timeline": BURST}),  # since the load began
    ("06.overshoot", {"answer": (4, 10), "timeline": BURST}),  # rounded down
    ("06.too-late", {"answer": -50, "timeline": BURST}),
    ("06.overshoot", {"answer": (10, 5), "timeline": BURST}),
    ("06.overshoot", {"answer": (5, 8), "timeline": BURST}),
    ("06.overshoot", {"answer": 5, "timeline": BURST}),
    ("06.target", {"answer": (20, 1), "asked": ASKED}),
    ("06.target", {"answer": (0.94, 2300), "asked": ASKED}),
    ("06.target", {"answer": (5, 20), "asked": ASKED}),
    ("06.target", {"answer": 5, "asked": ASKED}),
    ("06.curve", {"answer": [(0, 10), (300, 10), (600, 10)], "timeline": FLAPPING}),
    ("06.curve", {"answer": [(0, 2)], "timeline": FLAPPING}),
    ("06.curve", {"answer": [2, 4, 8, 10], "timeline": FLAPPING}),
    ("06.flapping", {"answer": 6, "timeline": FLAPPING}),  # the steps, not the turns
    ("06.flapping", {"answer": 1, "timeline": FLAPPING}),
    ("06.flapping", {"answer": "often", "timeline": FLAPPING}),
    ("06.frontier", {"frontier": sorted}),
    ("06.frontier", {"frontier": lambda points: [max(points, key=lambda p: p[1])]}),
    ("06.frontier", {"frontier": lambda _points: 1 / 0}),
    ("06.frontier", {"frontier": [(100, 0.5)]}),
    ("06.attainment", {"bill": bill(790, 2780)}),
    ("06.attainment", {"bill": bill(0, 2780)}),
    ("06.attainment", {"bill": bill(450, 1300)}),
    ("06.cost", {"bill": bill(990, 3010)}),
    ("06.cost", {"bill": bill(990, 6000)}),
    ("06.cost", {"bill": bill(0, 3800)}),
    ("06.model", {"predicted": (3400, 0.95), "bill": PICKED}),
    ("06.model", {"predicted": (2700, 0.6), "bill": PICKED}),
    ("06.model", {"predicted": (0.88, 2700), "bill": PICKED}),
    ("06.bounds", {"timeline": recording([(0, 4), (150, 7), (560, 4)]), "hpa": HPA}),
    ("06.bounds", {"timeline": recording([(0, 2), (150, 6), (560, 4)]), "hpa": HPA}),
    (
        "06.bounds",
        {"timeline": recording([(0, 4), (150, 6), (560, 4)], ready=[(0, 4), (150, 8)]), "hpa": HPA},
    ),
    ("06.calm", {"timeline": recording([(0, 4), (150, 6), (250, 4), (300, 6), (560, 4)])}),
    ("06.calm", {"timeline": recording([(0, 4), (560, 4)])}),  # it never moved
    ("06.calm", {"timeline": recording([(0, 4), (150, 6), (200, 5), (300, 6), (560, 4)])}),
    ("06.settled", {"timeline": recording([(0, 6), (60, 5), (4000, 5)]), "hpa": HPA}),  # not all
    ("06.settled", {"timeline": recording([(0, 5), (30, 6), (60, 4)]), "hpa": HPA}),  # looked back
    ("06.settled", {"timeline": recording([(0, 6), (60, 4), (4000, 4)], ready=[(0, 6)]), "hpa": HPA}),
    ("06.trace", {"answer": "queue", "shares": SHARES}),
    ("06.trace", {"answer": "CPU", "shares": SHARES}),
    ("06.trace", {"answer": ["static"], "shares": SHARES}),
]

EMPTY, AFTER_A_SECOND = Timeline(15, "test"), recording([(0, 4), (15, 4)])
NOBODY = Bill(0, 0, 840, 10, 600)

TOO_EARLY: list[tuple[str, Mapping[str, Any]]] = [
    ("06.order", {"answer": ["static", "CPU", "queue"], "bills": {**BILLS, "queue": NOBODY}}),
    ("06.bill", {"answer": (0, 840), "bill": NOBODY}),
    ("06.too-late", {"answer": 0, "timeline": AFTER_A_SECOND}),
    ("06.too-late", {"answer": 0, "timeline": EMPTY}),
    ("06.overshoot", {"answer": (5, 2), "timeline": recording([(0, 2)])}),
    ("06.target", {"answer": (1, 20), "asked": {}}),
    ("06.curve", {"answer": [(0, 4)] * 3, "timeline": AFTER_A_SECOND}),
    ("06.flapping", {"answer": 0, "timeline": AFTER_A_SECOND}),
    ("06.flapping", {"answer": 1, "timeline": CALM}),
    ("06.attainment", {"bill": NOBODY}),
    ("06.cost", {"bill": bill(990, 0)}),
    ("06.model", {"predicted": (840, 0), "bill": NOBODY}),
    ("06.bounds", {"timeline": AFTER_A_SECOND, "hpa": HPA}),
    ("06.bounds", {"timeline": CALM, "hpa": None}),
    ("06.calm", {"timeline": AFTER_A_SECOND}),
    ("06.settled", {"timeline": recording([(0, 6), (60, 5)]), "hpa": HPA}),
    ("06.settled", {"timeline": EMPTY, "hpa": HPA}),
    ("06.trace", {"answer": "static", "shares": {}}),
]
"""Evidence that is empty, or was taken before there was anything to see: nobody's wrong answer."""
