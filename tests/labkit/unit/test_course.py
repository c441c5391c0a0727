"""A path in a cell means the same file in whatever folder the kernel or the terminal stands."""

import os
from pathlib import Path

import pytest

from course import case
from course.hpa.setting import policy_of
from course.study import journal
from labkit import course
from labkit.errors import BadInput
from labkit.kube import documents
from labkit.kube.kubectl import found, kubectl
from localcluster.gpus import profile
from localcluster.gpus.roofline import PROFILES

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=[".", "notebooks", "notebooks/.."], autouse=True)
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT / request.param)
    return Path.cwd()


def test_whatever_takes_a_path_of_the_course_finds_it() -> None:
    assert course.path("manifests/base/hpa.yaml").is_file()
    assert documents.load("manifests/base/hpa.yaml")
    assert policy_of("manifests/base/hpa.yaml")
    assert case.load("manifests/05-hpa-queue/cases/colleague.json")
    assert profile.load(course.path(f"{PROFILES}/nvidia-l4_llama-3.1-8b-instruct.toml"))
    assert journal.stored("cluster/study.json")
    assert kubectl("kustomize", "manifests/base") == kubectl("kustomize", ROOT / "manifests" / "base")


def test_a_copy_is_made_of_the_folder_that_is_meant(tmp_path: Path) -> None:
    assert (course.copy("cluster/images/model-server", into=tmp_path) / "Dockerfile").is_file()


@pytest.mark.parametrize("option", ["-f", "--filename", "-k", "--kustomize"])
def test_kubectl_finds_the_files_that_its_options_name(option: str) -> None:
    for words in ([option, "manifests/base"], [f"{option}=manifests/base"]):
        [last] = found(["apply", *words])[len(words) :]
        assert Path(last.removeprefix(f"{option}=")).is_dir()


def test_kubectl_keeps_what_is_no_file() -> None:
    words = ["logs", "-f", "llm-inference-service-x", "apply", "-f", "-", "-f", "https://example.com/a.yaml"]
    assert found(words) == words


def test_a_file_that_is_nowhere_is_named_as_it_was_written_with_the_places_that_were_looked_at() -> None:
    with pytest.raises(BadInput) as refused:
        documents.load("manifests/00-start/tea.yaml")
    assert refused.value.what == "There is no file or folder manifests/00-start/tea.yaml."
    assert str(ROOT) in refused.value.cause


def test_what_lies_beside_the_notebook_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "manifests" / "base"
    mine.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert course.path("manifests/base").resolve() == mine


def test_a_path_below_home_may_be_written_as_shells_take_it() -> None:
    assert course.path("~") == Path(os.path.expanduser("~"))  # noqa: PTH111 - what a shell does
