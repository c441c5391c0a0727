"""`labkit image` as a person types it, against a lab whose registry runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labkit.errors import LabError
from localcluster.cli.image import app
from localcluster.images.credentials import Credentials
from localcluster.images.failure import Unauthorized
from localcluster.node.config import AgentConfig, Registry
from localcluster.spawn import Proc
from tests.cluster.unit.images_world import FILES, HOST, NAME, LabRegistry, registry, write

Labkit = Callable[..., str]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabRegistry]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def labkit(lab: LabRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Labkit:
    """Type a command; its standard output. A `LabError` comes through."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    named = (Registry(HOST, lab.mirror.url, lab.mirror.ca),)
    config = AgentConfig(str(tmp_path / "home/lab"), 15, (), named, str(tmp_path / "cache"))
    config.save(tmp_path / "home/lab/node.json")

    def type_(*words: str, stdin: str = "") -> str:
        done = CliRunner().invoke(app, words, input=stdin)
        if isinstance(done.exception, LabError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return type_


@pytest.fixture
def context(tmp_path: Path) -> str:
    files = {name: text for name, text in FILES.items() if name != "requirements.txt"}
    folder = write(tmp_path / "context", {**files, "packages.txt": ""})
    text = (folder / "Dockerfile").read_text().replace("requirements.txt", "packages.txt")
    (folder / "Dockerfile").write_text(text)
    return str(folder)


def test_from_a_dockerfile_to_the_registry_and_back(labkit: Labkit, context: str, lab: LabRegistry) -> None:
    digest = labkit("build", context, "-t", NAME).split()[1]
    assert digest.startswith("sha256:")
    with pytest.raises(Unauthorized):
        labkit("push", NAME)
    labkit("login", "--password-stdin", stdin=f"{lab.login.password}\n")
    assert digest in labkit("push", NAME)
    assert "0 layers sent" in labkit("push", NAME)
    assert f"{NAME}  {digest[:19]}" in labkit("ls")
    assert "2 blobs deleted" not in labkit("rm", NAME)
    assert NAME not in labkit("ls")
    assert digest in labkit("pull", NAME)
    assert NAME in labkit("ls")
    labkit("logout")
    with pytest.raises(Unauthorized):
        labkit("pull", NAME)


def test_the_lab_s_own_login_needs_no_password(
    labkit: Labkit, context: str, lab: LabRegistry, tmp_path: Path
) -> None:
    labkit("build", context, "-t", NAME)
    with pytest.raises(Unauthorized) as caught:
        labkit("push", NAME)
    assert caught.value.fix.endswith(": localcluster image login")
    with pytest.raises(LabError) as caught_there:
        labkit("pull", NAME, "--lab", "other")
    assert "localcluster up" in caught_there.value.fix
    write(tmp_path / "home/lab", {"registry/password": lab.login.password})
    assert "Login succeeded: learner at registry.lab:5000" in labkit("login")
    assert "layers sent" in labkit("push", NAME)


def test_a_name_is_needed_for_another_registry(labkit: Labkit) -> None:
    with pytest.raises(LabError, match="No user name"):
        labkit("login", "registry.example", "--password-stdin", stdin="secret")


def test_help_shows_no_python(labkit: Labkit) -> None:
    assert "<class" not in labkit("build", "--help")


def test_a_wrong_password_is_not_kept(labkit: Labkit, tmp_path: Path) -> None:
    with pytest.raises(Unauthorized, match="refused the login of `learner`"):
        labkit("login", "--password-stdin", stdin="wrong\n")
    assert not (tmp_path / "home/lab/docker/config.json").exists()


def test_a_login_of_the_lab_is_its_own(labkit: Labkit, tmp_path: Path, lab: LabRegistry) -> None:
    labkit("login", "--password-stdin", stdin=lab.login.password)
    file = tmp_path / "home/lab/docker/config.json"
    assert Credentials.load(file).logins == ((HOST, lab.login),)
    assert file.stat().st_mode & 0o777 == 0o600


def test_inspect_tells_which_instruction_made_which_layer(labkit: Labkit, context: str) -> None:
    labkit("build", context, "-t", NAME, "--build-arg", "UNUSED=1")
    told = labkit("inspect", NAME)
    assert "FROM python:3.11-slim" in told
    (line,) = [line for line in told.splitlines() if "COPY server/ server/" in line]
    assert line.startswith("sha256:")
    assert '"base": "python:3.11-slim"' in labkit("inspect", NAME, "--json")


def test_a_tag_is_one_more_name(labkit: Labkit, context: str) -> None:
    digest = labkit("build", context, "-t", NAME).split()[1]
    assert digest in labkit("tag", NAME, f"{HOST}/llm-inference:latest")
    labkit("rm", NAME)
    assert digest[:19] in labkit("ls")


def test_prune_waits_for_the_lab_to_end(labkit: Labkit, context: str, tmp_path: Path) -> None:
    labkit("build", context, "-t", NAME)
    record = tmp_path / "home/lab/run/node-agent.json"
    Proc.of(1).save(record)
    with pytest.raises(LabError, match="The lab `lab` runs"):
        labkit("prune")
    record.unlink()
    assert "0 blobs" in labkit("prune")
    assert NAME in labkit("ls")


@pytest.mark.parametrize(
    "words", [("--builder", "magic"), ("--build-arg", "NOEQUALS"), ("-f", "/no/such/Dockerfile")]
)
def test_what_build_can_not_understand(labkit: Labkit, context: str, words: tuple[str, ...]) -> None:
    with pytest.raises(LabError) as caught:
        labkit("build", context, "-t", NAME, *words)
    assert caught.value.fix
