"""A cold start is read from moments that others noted, and an image's declared size from its labels."""

from pathlib import Path

import pytest

from labkit.errors import BadInput
from labkit.evidence.cold_start import ColdStart, moment_of, phases
from labkit.view import states
from localcluster.api.objects import KubeObject
from localcluster.images.declared import SIZE, declared
from localcluster.images.manifest import ImageConfig
from localcluster.images.reference import parse
from localcluster.images.rootfs import RunnableImage
from localcluster.node.pod.link import Link, size_of

MOMENTS = {
    "created": 100.0,
    "scheduled": 100.1,
    "pulled": 110.1,
    "started": 110.6,
    "imported": 112.0,
    "loaded": 114.0,
    "compiled": 117.0,
    "warm": 118.0,
    "ready": 118.5,
    "token": 119.0,
}


def image(**labels: str) -> RunnableImage:
    config = ImageConfig(labels={key.replace("_", "."): value for key, value in labels.items()})
    return RunnableImage(parse("registry.lab:5000/x:1"), "sha256:1", config, Path("/none"), None, 5)


def test_phases_follow_each_other_in_lab_seconds() -> None:
    start = ColdStart("pod", phases(MOMENTS, clock=15))
    assert [span.state for span in start.phases][:3] == ["schedule", "pull", "create"]
    assert start.total == pytest.approx(19 * 15)
    assert start.longest == "pull"
    assert start.seconds("weights") == pytest.approx(30)
    assert start.seconds("unpack") == 0
    assert start.row()["total"] == 285


def test_a_misspelt_phase_is_refused_with_the_nearest() -> None:
    start = ColdStart("pod", phases(MOMENTS, clock=15))
    with pytest.raises(BadInput, match="no phase called 'wieghts'") as refused:
        start.seconds("wieghts")
    assert "Did you mean 'weights'?" in refused.value.fix


def test_a_simulated_pull_is_told_in_its_two_parts() -> None:
    said = "Successfully pulled. SIMULATED size and time: download 50.0 s, unpack 100.0 s of lab time."
    start = ColdStart("pod", phases(MOMENTS, clock=15, pulled=said))
    assert start.seconds("download") == pytest.approx(50)
    assert start.seconds("unpack") == pytest.approx(100)
    assert start.seconds("pull") == 0
    assert start.longest == "unpack"


def test_what_was_not_seen_counts_into_the_next_phase() -> None:
    seen = {name: MOMENTS[name] for name in ("created", "scheduled", "pulled", "ready", "token")}
    start = ColdStart("pod", phases(seen, clock=15))
    assert [span.state for span in start.phases] == ["schedule", "pull", "ready", "first token"]
    assert start.total == pytest.approx(19 * 15)


def test_moments_that_were_seen_late_never_make_a_phase_negative() -> None:
    start = ColdStart("pod", phases(MOMENTS | {"scheduled": 110.3}, clock=15))
    assert all(span.end >= span.start for span in start.phases)
    assert start.total == pytest.approx(19 * 15)


def test_an_events_name_holds_its_moment() -> None:
    event = KubeObject({"metadata": {"name": f"web-7f.{1_700_000_000_500_000_000:x}"}})
    assert moment_of(event) == pytest.approx(1_700_000_000.5)
    assert moment_of(KubeObject({"metadata": {"name": "made-by-hand"}})) is None


def test_a_declared_size_takes_its_time_and_says_so() -> None:
    large = RunnableImage(
        parse("r.lab:5000/x:1"), "sha256:1", ImageConfig(labels={SIZE: "10000000000"}), Path("/none"), None, 5
    )
    arrival = Link(200e6, 100e6).arrival(large)
    assert arrival is not None
    assert (arrival.download, arrival.unpack, arrival.seconds) == (50, 100, 150)
    assert arrival.words.startswith("SIMULATED")
    assert size_of(large) == 10_000_000_000


def test_an_image_that_declares_nothing_is_as_large_as_it_is() -> None:
    assert Link(1, 1).arrival(image()) is None
    assert size_of(image()) == 5
    assert [declared({SIZE: text}) for text in ("", "much", "-1", "1e9", "٣")] == [0, 0, 0, 0, 0]


def test_every_phase_has_a_colour_and_a_hatch() -> None:
    start = ColdStart("pod", phases(MOMENTS, clock=15))
    assert {span.state for span in start.phases} <= set(states.PHASES)
    assert set(states.PHASES.values()) <= set(states.HATCHES)
