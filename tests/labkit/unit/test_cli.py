"""The command line's manners: one shape for every error, the right exit status, and no traceback."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from labkit import cli, course
from labkit.cli import ALONE, GROUPS, app
from labkit.cli.menu import PARTS
from localcluster import catalog, spawn
from localcluster.layout import Layout, Ports
from localcluster.provider import Spec
from localcluster.toolchain.versions import kubernetes


@dataclass(frozen=True)
class Said:
    """What a command left: its exit status and both outputs."""

    status: int
    out: str
    err: str


Type = Callable[..., Said]


@pytest.fixture
def labkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a command as a person does, in a home without labs."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LABKIT_LAB", raising=False)

    def type_(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["labkit", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Said(int(left.value.code or 0), out, err)

    return type_


def lab_json(text: str, name: str = "lab") -> Layout:
    layout = Layout.of(name)
    layout.dir.mkdir(parents=True)
    layout.config.write_text(text)
    return layout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("up", "--gpu-node", "3"), "--gpu-nodes"),
        (("frobnicate",), "No such command 'frobnicate'"),
        (("up", "--gpu-nodes", "99"), "less than or equal to 20"),
        (("up", "extra"), "unexpected extra argument"),
        (("up", "--provider", "nope"), "embedded, kind, existing"),
        (("up", "--name", "a b"), "lower-case letters"),
        (("up", "--clock", "0"), "15 is the default"),
        (("up", "--isolation", "docker"), "Use bubblewrap or none"),
        (("status", "--name", "../etc"), "is not a valid name"),
        (("notebooks", "run", "99"), "There is no notebook 99"),
        (("notebooks", "run", "--answers", "mine"), "Use solutions or exercises"),
        (("load", "open", "http://127.0.0.1:9"), "exactly one of"),
    ],
)
def test_a_mistake_in_a_command_names_what_would_be_right(
    labkit: Type, words: tuple[str, ...], told: str
) -> None:
    said = labkit(*words)
    assert said.status == 2
    assert told in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    "words",
    [("status",), ("logs",), ("kubectl", "get", "nodes"), ("notebooks", "run"), ("doctor",)],
    ids=lambda words: words[0],
)
def test_without_a_lab_every_command_says_how_to_start_one(labkit: Type, words: tuple[str, ...]) -> None:
    said = labkit(*words)
    assert said.status == 1
    assert "There is no lab called 'lab'" in said.err
    assert "labkit up --name lab" in said.err


def test_down_and_ls_without_a_lab_are_no_errors(labkit: Type) -> None:
    assert labkit("down").status == 0
    assert "labkit up" in labkit("ls").err


def test_the_list_of_programs_says_which_are_optional(
    labkit: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    lines = {line.split()[0]: line for line in labkit("toolchain", "ls").out.splitlines()}
    assert "missing (optional: the 1,000 nodes of notebook 09)" in lines["kwok"]
    assert "optional" not in lines["etcd"]


def test_an_empty_name_in_the_environment_is_none(labkit: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_LAB", "")
    assert "There is no lab called 'lab'" in labkit("status").err


@pytest.mark.parametrize(
    "text", ["{", "{}", "[]", '{"spec": {"name": "lab", "zones": 3}, "ports": {}}'], ids=str
)
def test_a_lab_of_another_version_is_told_with_the_way_out(labkit: Type, text: str) -> None:
    layout = lab_json(text)
    for words in (("status",), ("up",), ("kubectl", "get", "nodes")):
        said = labkit(*words)
        assert said.status == 1
        assert "another version" in said.err
        assert "labkit down --name lab, then up again" in said.err
    assert labkit("down").status == 0
    assert not layout.config.exists()


def does_not_run() -> None:
    """A lab with all its files, whose servers are gone."""
    layout = lab_json("")
    layout.save(Spec(), Ports(1, 2, 3, 4, 5, 6))
    (layout.dir / "registry").mkdir()
    (layout.dir / "registry" / "password").write_text("")
    layout.kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: lab,"
        " clusters: [{name: lab, cluster: {server: 'https://127.0.0.1:9'}}],"
        " contexts: [{name: lab, context: {cluster: lab, user: me}}]}"
    )


def test_kubectl_on_a_lab_that_does_not_run_says_how_to_start_it(labkit: Type) -> None:
    does_not_run()
    said = labkit("kubectl", "get", "nodes")
    assert said.status == 1
    assert "Lab 'lab' is not completely running. `labkit up` starts what is not running" in said.err


def test_the_doctor_of_a_lab_that_does_not_run_names_the_api_server(labkit: Type) -> None:
    does_not_run()
    said = labkit("doctor")
    assert said.status == 1
    assert "missing: API server (needed by: all)" in said.out
    assert "labkit up" in said.out
    found = json.loads(labkit("doctor", "--json").out)
    assert [need["need"] for need in found["needs"]] == ["API server"]
    assert found["path"] is None


def test_one_lab_that_can_not_be_read_does_not_hide_the_others(labkit: Type) -> None:
    lab_json("{", name="broken")
    whole = lab_json("", name="whole")
    whole.save(Spec(name="whole"), Ports(1, 2, 3, 4, 5, 6))
    said = labkit("ls")
    assert said.status == 0
    rows = [line.split()[:3] for line in said.out.splitlines()[1:]]
    assert rows == [["broken", "embedded", "unreadable"], ["whole", "embedded", "not"]]


def test_a_home_that_is_a_file_is_told(labkit: Type, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    up = labkit("up")
    assert (up.status, "LABKIT_HOME" in up.err) == (1, True)
    assert "There is no lab" in labkit("status").err
    assert labkit("down").status == 0


def test_a_folder_that_may_not_be_written_is_told_with_its_path(labkit: Type, tmp_path: Path) -> None:
    Layout.of("lab").logs.mkdir(parents=True)
    Layout.of("lab").log("etcd").write_text("")
    (tmp_path / "file").write_text("")
    said = labkit("logs", "--into", str(tmp_path / "file"))
    assert said.status == 1
    assert str(tmp_path / "file") in said.err
    assert "fix:" in said.err


def test_nothing_but_text_goes_into_a_pipe(tmp_path: Path) -> None:
    env = {**os.environ, "LABKIT_HOME": str(tmp_path), "TERM": "dumb", "NO_COLOR": "1", "LC_ALL": "C"}
    done = spawn.run([sys.executable, "-m", "labkit.cli", "up", "--clock", "0"], env=env, cwd=tmp_path)
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error", "cause", "fix"]
    assert list(tmp_path.iterdir()) == []


def test_the_checks_of_a_notebook_are_listed_and_counted(labkit: Type) -> None:
    listed = labkit("checks", "ls", "05")
    assert "05.hpa" in listed.out
    assert "04.hpa" not in listed.out
    assert listed.out.splitlines()[-1].split() == ["all", "8", "6", "10", "24"]


def test_a_notebook_without_checks_is_named_with_those_that_have_some(labkit: Type) -> None:
    said = labkit("checks", "ls", "77")
    assert said.status == 2
    assert "05" in said.err


def test_the_learners_edition_is_made_by_one_word_and_never_over_something_else(
    labkit: Type, tmp_path: Path
) -> None:
    made = labkit("release", str(tmp_path / "learners"))
    assert made.status == 0
    assert made.out.strip() == str(tmp_path / "learners")
    assert "no solutions" in made.err
    refused = labkit("release", str(tmp_path))
    assert refused.status == 2
    assert "is not empty" in refused.err
    assert "Name a new folder" in refused.err


def test_the_help_of_release_teaches_what_it_does(labkit: Type) -> None:
    said = " ".join(labkit("release", "--help").out.split())
    for word in ("BEGIN SOLUTION", "nbgrader", "hint", "make jupyter", "unless someone has worked in it"):
        assert word in said


def test_help_names_each_command_once_in_its_part_by_a_whole_sentence(labkit: Type) -> None:
    said = labkit("--help").out.partition("[ARGS]...")[2]
    assert "..." not in said
    listed = re.findall(r"^  ([a-z]+)  ", said, re.MULTILINE)
    named = [name for part in PARTS.values() for name in part]
    assert sorted(listed) == sorted(named)
    commands = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    assert {*ALONE, *GROUPS} | {c for c in commands if c != "list_labs"} <= set(named)


def test_the_version_names_that_of_kubernetes_too(labkit: Type) -> None:
    assert labkit("--version").out == f"labkit {version('labkit')} (Kubernetes {kubernetes()})\n"


def test_a_lab_that_is_not_there_is_told_with_those_that_are(labkit: Type) -> None:
    lab_json("{}", name="learner")
    said = labkit("status")
    assert "Existing labs: learner" in said.err
    assert "export LABKIT_LAB=learner" in said.err


def test_a_stray_pythonpath_and_another_locale_are_survived(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise ImportError('of another Python')")
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    env |= {"PYTHONUTF8": "0", "LABKIT_HOME": str(tmp_path)}
    for words in (("ls",), ("notebooks", "ls"), ("checks", "ls", "00")):
        done = spawn.run([sys.executable, "-m", "labkit.cli", *words], env=env, cwd=course.root())
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", ["labkit", "localcluster"])
def test_messages_name_the_commands_of_the_program_that_runs(program: str, tmp_path: Path) -> None:
    env = {**os.environ, "LABKIT_HOME": str(tmp_path)}
    listed = spawn.run([sys.executable, "-m", f"{program}.cli", "ls"], env=env)
    assert f"Start one: {program} up" in listed.stderr
    refused = spawn.run([sys.executable, "-m", f"{program}.cli", "status", "--name", "x"], env=env)
    assert f"Start one: {program} up --name x" in refused.stderr


def test_the_help_of_up_lists_every_provider(labkit: Type) -> None:
    listed = " ".join(labkit("up", "--help").out.split())
    assert f"One of: {', '.join(catalog.names())}." in listed
    assert catalog.names() == ["embedded", "kind", "existing"]
