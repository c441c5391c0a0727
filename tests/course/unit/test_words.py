"""An answer in words names one thing: whoever names them all has not answered, whichever check it is."""

from typing import Any

import pytest

from labkit import checks
from labkit.checks.words import one_of
from tests.course.examples import right, wrong
from tests.course.hints import NOTEBOOKS

PARTS = {"adapter": ("adapter", "prometheus-adapter"), "Prometheus": ("prometheus",), "API": ("api server",)}


@pytest.mark.parametrize(
    ("answer", "thing"),
    [
        ("Prometheus-Adapter", "adapter"),
        ("the prometheus adapter", "adapter"),
        ("Prometheus", "Prometheus"),
        ("kube-apiserver", "API"),
        ("Prometheus, prometheus-adapter", ""),
        ("adapter or API server", ""),
        ("the kubelet", ""),
        (..., ""),
        (5, ""),
        (["adapter"], ""),
    ],
)
def test_one_thing_is_named_or_none(answer: Any, thing: str) -> None:
    assert one_of(answer, PARTS) == thing


def is_text(value: Any) -> bool:
    return isinstance(value, str) and not value.replace(".", "").isdigit()


WORDED = sorted(
    {
        name
        for notebook in NOTEBOOKS
        for name, evidence in right(notebook)
        if any(is_text(evidence.get(key)) for key in checks.get(name).answers)
    }
)


@pytest.mark.parametrize("check", WORDED)
def test_naming_every_answer_is_no_answer(check: str) -> None:
    asked = checks.get(check)
    known = [evidence for name, evidence in [*right(check[:2]), *wrong(check[:2])] if name == check]
    evidence = next(one for name, one in right(check[:2]) if name == check)
    said = {one[key] for one in known for key in asked.answers if isinstance(one.get(key), str)}
    texts = [key for key in asked.answers if isinstance(evidence[key], str)]
    assert asked.run(evidence).passed
    for joined in (" ".join(sorted(said)), ", ".join(sorted(said, reverse=True)), sorted(said), set(said)):
        for key in texts:
            assert not asked.run({**evidence, key: joined}).passed, (key, joined)
