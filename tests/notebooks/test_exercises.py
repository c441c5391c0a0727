"""papermill runs every notebook on a real lab with its exercises untouched: exactly their checks fail."""

from pathlib import Path

import pytest

from tests.notebooks.test_notebooks import NOTEBOOKS, run

# What a learner who only pressed "run all" has not answered yet.
OPEN = {
    "00-start": {
        "00.capacity",
        "00.coffee",
        "00.mended",
        "00.who",
        "00.never",
        "00.idle",
        "00.all-placed",
    },
    "01-containerize": {
        "01.layers",
        "01.digest",
        "01.host",
        "01.pinned",
        "01.pulled",
        "01.backoff",
        "01.mended",
    },
    "02-deploy": {
        "02.deployment",
        "02.backoff",
        "02.who",
        "02.grace",
        "02.zero-downtime",
        "02.cures",
        "02.rollback",
        "02.liveness",
        "02.mended",
    },
    "03-load": {
        "03.capacity",
        "03.no-bound",
        "03.knee",
        "03.little",
        "03.target",
        "03.batch",
        "03.trade",
        "03.preemptions",
    },
    "04-hpa-cpu": {
        "04.hpa",
        "04.suffered",
        "04.knew",
        "04.flat",
        "04.desired-by-hand",
        "04.lower-target",
        "04.missing-request",
        "04.mended",
    },
    "05-hpa-queue": {
        "05.hpa",
        "05.scaling-active",
        "05.hops",
        "05.names",
        "05.desired-by-hand",
        "05.steps",
        "05.delay",
        "05.mended",
        "05.alone",
        "05.label-hop",
        "05.label-mended",
        "05.api-hop",
        "05.api-mended",
        "05.rule-hop",
        "05.sum-hop",
        "05.sum-mended",
        "05.replicas-hop",
        "05.replicas-mended",
    },
    "06-tuning": {
        "06.order",
        "06.bill",
        "06.too-late",
        "06.overshoot",
        "06.target",
        "06.curve",
        "06.flapping",
        "06.frontier",
        "06.attainment",
        "06.trace",
    },
    "07-cold-starts": {
        "07.longest",
        "07.prepull",
        "07.spare",
        "07.bought",
        "07.piled-up",
        "07.patience",
        "07.mended",
    },
    "08-waste": {
        "08.waste",
        "08.price",
        "08.free",
        "08.pending",
        "08.placed",
        "08.packed",
        "08.trade",
        "08.shared",
        "08.mig",
        "08.wall",
    },
    "09-placement": {
        "09.handed",
        "09.selector",
        "09.affinity",
        "09.stranded",
        "09.toleration",
        "09.promises",
        "09.domains",
        "09.spread",
        "09.noticed",
        "09.lost-node",
        "09.rate",
        "09.bottleneck",
        "09.throttled",
    },
    "10-production": {
        "10.replaced",
        "10.thirteenth",
        "10.node-minutes",
        "10.same-sum",
        "10.asleep",
        "10.keda",
        "10.capstone",
        "10.cost",
        "10.energy",
        "10.carbon",
    },
}

pytestmark = pytest.mark.notebooks

LONG = {"06-tuning", "07-cold-starts", "09-placement", "10-production"}
"""Notebooks that take a cluster for three minutes and more: CI runs them once, with solutions."""

LONG_LAST = [pytest.param(path, marks=pytest.mark.long if path.stem in LONG else ()) for path in NOTEBOOKS]


@pytest.mark.parametrize("path", LONG_LAST, ids=lambda path: path.stem)
def test_untouched_exercises_fail_exactly_their_checks(path: Path, tmp_path: Path) -> None:
    record = run(path, "exercises", tmp_path)
    assert not record.error
    failed = {v.id for v in record.verdicts if v.state == "failed"}
    unjudged = {v.id for v in record.verdicts if v.state == "inconclusive"}  # never a wrong answer
    assert failed - OPEN[path.stem] == set()
    assert OPEN[path.stem] - unjudged <= failed
