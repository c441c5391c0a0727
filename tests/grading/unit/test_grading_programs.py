"""What decides a measurement is the grader's: programs, settings, images, loads and recordings."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from course.capstone import day, is_the_day
from labkit.evidence import Series, Timeline
from labkit.kube import Kube, documents
from labkit.lab import NAMESPACE, Lab, Session
from labkit.load.plan import Open
from labkit.load.results import LoadResult
from labkit.notebooks.strip import read
from labkit_grading.judging.bundle import Argument, Observation, Seen, Sender, Stranger, load, store
from labkit_grading.judging.programs import Programs, foreign, spec_of
from labkit_grading.judging.proofs import OTHER_DAY, apart, doubts
from labkit_grading.judging.seal import key
from labkit_grading.judging.sheet import grade
from labkit_grading.judging.sources import Source
from labkit_grading.judging.strangers import Expected, Watched, beside, sent
from labkit_grading.kernel.handover import HandOver
from labkit_grading.sites import terms
from labkit_grading.student import disturbed
from labkit_grading.verbs.broker import Broker
from labkit_grading.verbs.contexts import THE_COURSES
from localcluster.api.objects import KubeObject
from localcluster.embedded.provider import Embedded
from tests.attacks.measured import CHEATS, server
from tests.grading.unit.grading_bundle import BEGAN, bundle, rubric
from tests.grading.unit.grading_class import NOTEBOOKS, ROOT
from tests.grading.unit.grading_jailed import NOWHERE

DIGEST = "sha256:" + "a" * 64
CAPSTONE = Programs.of(read(ROOT / "notebooks/10-production.ipynb"), ROOT)


def pods(place: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pods' specs in a folder of manifests that stand by themselves."""
    for path in sorted(place.rglob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text()) if path.name not in documents.KUSTOMIZATION else ():
            spec = (one or {}).get("spec") or {}
            found = (
                spec if (one or {}).get("kind") == "Pod" else (spec.get("template") or {}).get("spec") or {}
            )
            if all("image" in container for container in found.get("containers", [{}])):
                yield f"{path.relative_to(ROOT)}", found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_courses_own_pods_and_its_solutions_are_the_courses(path: Path) -> None:
    programs = Programs.of(read(path), ROOT)
    folders = ROOT.glob(f"manifests/{path.stem[:2]}-*")
    found = {name: foreign(spec, programs) for folder in folders for name, spec in pods(folder)}
    assert {name: why for name, why in found.items() if why} == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_kustomization_builds_on_is_the_courses_too(path: Path) -> None:
    """06's servers are those of 04 with one flag more: their own flags stand in 04's folder."""
    programs = Programs.of(read(path), ROOT)
    found: list[tuple[str, tuple[str, ...]]] = []
    for place in ROOT.glob(f"manifests/{path.stem[:2]}-*/**/kustomization.yaml"):
        if "exercises" not in place.parts:
            made = [spec_of(one.obj) for one in documents.load(place.parent)]
            found += [(str(place), foreign(spec, programs)) for spec in made]
    assert [(place, why) for place, why in found if why] == []


def test_the_capstones_solution_and_other_settings_of_vllm_are_a_students_to_choose() -> None:
    assert foreign(server(), CAPSTONE) == ()
    own = ["--model=meta-llama/Llama-3.1-8B-Instruct", "--max-num-seqs", "64", "--max-num-batched-tokens=512"]
    assert foreign(server(args=own), CAPSTONE) == ()
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "sleep 15"]}}}
    assert foreign(server(lifecycle=hook), CAPSTONE) == ()


@pytest.mark.parametrize("name", CHEATS)
def test_what_decides_a_measurement_is_not_a_students(name: str) -> None:
    assert foreign(server(**CHEATS[name]), CAPSTONE)


def owner(name: str = "llm-inference-service-7d9f", **more: Any) -> dict[str, Any]:
    return {"kind": "ReplicaSet", "name": name, "controller": True, **more}


def pod(name: str = "llm-inference-service-7d9f-x2x", uid: str = "1", **metadata: Any) -> KubeObject:
    """A pod of the capstone's Deployment."""
    meta = {
        "name": name,
        "uid": uid,
        "labels": {"app": "llm-model", "pod-template-hash": "7d9f"},
        "ownerReferences": [owner()],
        **metadata,
    }
    ran = {"image": THE_COURSES, "imageID": f"registry.lab:5000/llm-inference@{DIGEST}"}
    return KubeObject({"metadata": meta, "spec": server(), "status": {"containerStatuses": [ran]}})


def expected(digest: str = DIGEST) -> Expected:
    return Expected(CAPSTONE, {THE_COURSES: digest}, 15.0)


def test_a_pod_of_the_course_is_no_stranger() -> None:
    assert expected().of(pod()) == ()


@pytest.mark.parametrize(
    ("one", "digest", "why"),
    [
        (pod(), "sha256:" + "b" * 64, "its image registry.lab:5000/llm-inference:1.0 is not the grader's"),
        (pod(ownerReferences=[owner("fast-7d9f")]), DIGEST, "it belongs to Deployment/fast"),
        (pod(ownerReferences=[]), DIGEST, "it belongs to Pod/llm-inference-service-7d9f-x2x"),
        (pod(ownerReferences=[owner(controller=False)]), DIGEST, "it belongs to Pod/llm-inference"),
        (
            pod(ownerReferences=[owner("llm-inference-service", kind="DaemonSet")]),
            DIGEST,
            "it belongs to Daem",
        ),
        (
            pod(ownerReferences=[owner("thirteen-gpus-7d9f")]),
            DIGEST,
            "it belongs to Deployment/thirteen-gpus",
        ),
    ],
    ids=[
        "another image under its name",
        "of another Deployment",
        "taken out of its ReplicaSet",
        "of one in name only",
        "of a DaemonSet of its name",
        "of one whose pods only sleep",
    ],
)
def test_what_only_shows_when_a_pod_runs(one: KubeObject, digest: str, why: str) -> None:
    [told] = expected(digest).of(one)
    assert told.startswith(why)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"clock": "15", "gpu": "NVIDIA-L4", "profile": "nvidia-l4_llama-3.1-8b-instruct"}, ""),
        (
            {"clock": "1500", "gpu": "NVIDIA-L4", "profile": "nvidia-l4_llama-3.1-8b-instruct"},
            "its clock was 1500",
        ),
        (
            {"clock": "15", "gpu": "NVIDIA-H200", "profile": "nvidia-h200_llama-3.1-8b-instruct"},
            "its GPU was",
        ),
        (
            {"clock": "15", "gpu": "NVIDIA-L4", "profile": "nvidia-h200_llama-3.1-8b-instruct"},
            "its timing profile",
        ),
        ({}, "its clock was"),
    ],
)
def test_what_a_server_says_of_itself_is_compared(labels: dict[str, str], told: str) -> None:
    said = expected().told(labels)
    assert said.startswith(told)
    assert bool(said) == bool(told)


def test_a_stranger_counts_from_when_to_when_it_was_one() -> None:
    seen = Watched(expected())
    seen.take("ADDED", pod(), 1.0)
    seen.take("MODIFIED", pod(ownerReferences=[]), 2.0)
    seen.take("MODIFIED", pod(ownerReferences=[]), 3.0)
    seen.take("MODIFIED", pod(), 4.0)
    seen.take("ADDED", pod("mine", uid="2", ownerReferences=[]), 5.0)
    assert [(one.pod, one.began, one.ended) for one in seen.strangers] == [
        ("llm-inference-service-7d9f-x2x", 2.0, 4.0),
        ("mine", 5.0, 0.0),
    ]
    seen.take("DELETED", pod("mine", uid="2", ownerReferences=[]), 6.0)
    assert seen.strangers[-1].ended == 6.0


def recorded(value: Any) -> Observation:
    return Observation("05.scale-out", BEGAN + 200, "c", {"timeline": Argument(Source.RECORDED, value)})


RUN = Timeline(15, "test", (Series("desired", "replicas", ((0.0, 2.0), (1500.0, 2.0))),), began=BEGAN)


@pytest.mark.parametrize(
    ("stranger", "counts"),
    [
        (Stranger("x", BEGAN - 50, BEGAN - 1, ("it has another clock",)), False),
        (Stranger("x", BEGAN - 50, BEGAN + 1, ("it has another clock",)), True),
        (Stranger("x", BEGAN + 99, 0.0, ("it has another clock",)), True),
        (Stranger("x", BEGAN + 101, 0.0, ("it has another clock",)), False),
    ],
)
def test_a_recording_is_doubted_for_what_ran_meanwhile(stranger: Stranger, *, counts: bool) -> None:
    assert bool(beside(recorded(RUN), [stranger])) == counts
    assert bool(doubts(recorded(RUN), (), (stranger,))) == counts


def test_of_a_recording_without_a_moment_everything_before_is_doubted() -> None:
    assert beside(recorded({"any": 1}), [Stranger("x", BEGAN, 0.0, ("it is odd",))])
    asked = Observation("05.names", BEGAN, "c", {"renamed_by": Argument(Source.ANSWER, "adapter")})
    assert not beside(asked, [Stranger("x", BEGAN - 1, 0.0, ("it is odd",))])


def test_strangers_are_kept_with_the_evidence(tmp_path: Path) -> None:
    made = replace(bundle(), strangers=(Stranger("x", 1.0, 2.0, ("it is odd",)),))
    mine = key(tmp_path / "key.pem")
    assert load(store(made.pack(), tmp_path / "a.evidence", mine), mine).strangers == made.strangers


def load_of(shape: Open, *, started: float = BEGAN, seed: int = 0) -> LoadResult:
    """A load as its journal tells it, with everything answered."""
    plan = {"clock": 15, "seed": seed, "shape": {"kind": "open", "what": "a day"}}
    asked = zip(shape.arrivals.times, shape.arrivals.sizes or (), strict=True)
    rows = [
        {
            "kind": "row",
            "id": n,
            "due": round(at, 5),
            "sent": at,
            "end": at + 1,
            "outcome": "ok",
            "in": i,
            "out": o,
        }
        for n, (at, (i, o)) in enumerate(asked)
    ]
    return LoadResult.of(Path("x"), [{"kind": "run", "plan": plan, "started": started}, *rows])


def test_the_capstone_is_judged_on_its_own_day_only() -> None:
    whole = day(0)
    assert is_the_day(load_of(Open(whole.arrivals())), 0)
    assert not is_the_day(load_of(Open(day(1).arrivals()), seed=1), 0)
    for other in (whole.window(start=0, seconds=600), whole.capped(tokens_in=2000, tokens_out=4), day(1)):
        load = load_of(Open(other.arrivals()))
        assert not is_the_day(load, 0)
        given = {"run": Argument(Source.RECORDED, RUN), "load": Argument(Source.RECORDED, load)}
        assert OTHER_DAY in doubts(Observation("10.capstone", BEGAN + 100, "c", given), ())


def test_a_recording_covers_the_load_that_it_is_judged_with() -> None:
    shape = Open(day(0).arrivals())
    assert not apart(RUN, load_of(shape))
    assert apart(RUN, load_of(shape, started=BEGAN + 60))
    assert apart(RUN, load_of(shape, started=BEGAN - 60))


def test_who_reaches_for_a_measurement_is_shown_to_a_person_and_who_errs_is_not() -> None:
    refused = (
        "forbidden: ValidatingAdmissionPolicy 'labkit-grading' with binding 'labkit-grading' denied request:"
    )
    assert terms.reaches_for(f"{refused} the clock is the grader's to set")
    assert not terms.reaches_for(f"{refused} this notebook has no such image")


@pytest.mark.parametrize(
    ("verb", "args", "words"),
    [
        ("record", [], {"deployment": "thirteen-gpus"}),
        ("record", [], {"deployment": "idle"}),
        ("record", [], {"hpa": "mine"}),
        ("plug_in", ["gpu-node-4"], {"gpus": 4, "gpu_product": "NVIDIA-H200"}),
    ],
)
def test_what_is_recorded_and_on_which_gpus_is_the_courses(
    tmp_path: Path, verb: str, args: list[str], words: dict[str, Any]
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(NOWHERE)
    lab = Lab(Session(Embedded("nowhere"), 15, 0, "test"), Kube(kubeconfig, namespace=NAMESPACE))
    broker = Broker(lab, ROOT, HandOver(read(ROOT / "notebooks/10-production.ipynb")), ROOT)
    on = broker._codec.give(lab.nodes) if verb == "plug_in" else 0
    said = broker._reply({"on": on, "do": verb, "args": args, "words": words})
    assert "which no cell of the course names" in said["error"]["what"]
    assert broker.seen.remarks[0].kind == "flagged"


def senders(*, own: bool, pod: str = "loud", began: float = BEGAN + 10) -> tuple[Sender, ...]:
    ours = Sender("10.244.0.1", "", 900, BEGAN, BEGAN + 90)
    return ours, Sender("10.244.2.9", pod, 40, began, began + 5, own=own)


def test_load_from_elsewhere_makes_a_verdict_inconclusive_and_flags_nobody() -> None:
    sheet = grade(replace(bundle(), senders=senders(own=False, pod="other/loud")), rubric())
    [line] = [one for one in sheet.lines if one.id == "05.scale-out"]
    assert line.state == "not judged"
    assert "pod other/loud at 10.244.2.9 sent 40 requests" in line.observed
    assert not sheet.flagged


def test_load_of_a_submissions_own_pods_earns_nothing() -> None:
    sheet = grade(replace(bundle(), senders=senders(own=True)), rubric())
    [line] = [one for one in sheet.lines if one.id == "05.scale-out"]
    assert (line.state, line.points) == ("forged", 0)
    assert sheet.flagged


def test_load_before_and_the_graders_own_change_nothing() -> None:
    before = senders(own=False, began=BEGAN - 9999)
    assert sent(recorded(RUN), before, own=False) == []
    assert sent(recorded(RUN), before[:1], own=True) == []


def test_a_notebook_that_others_disturbed_is_run_again() -> None:
    seen = Seen(observations=[recorded(RUN)], senders=senders(own=False))
    assert disturbed(seen)
    assert not disturbed(replace(seen, senders=senders(own=True)))


def test_senders_are_kept_with_the_evidence(tmp_path: Path) -> None:
    made, mine = replace(bundle(), senders=senders(own=True)), key(tmp_path / "key.pem")
    assert load(store(made.pack(), tmp_path / "a.evidence", mine), mine).senders == made.senders
