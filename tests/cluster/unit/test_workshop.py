"""A learner's images against a real registry: what travels, what a name means, who may push."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.view import image
from localcluster.images.failure import Unauthorized
from localcluster.images.store import Store
from localcluster.images.workshop import Workshop
from localcluster.provider import RegistryAccess
from tests.cluster.unit.images_world import HOST, LabRegistry, registry, write

FILES = {
    "Dockerfile": "FROM scratch\nENV A=1\nCOPY packages /packages\nCOPY code /code\nUSER 10001\n",
    "packages/a": "much, and seldom changed",
    "code/main": "v1",
}
NAME = f"{HOST}/me/llm-inference"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabRegistry]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def access(lab: LabRegistry) -> RegistryAccess:
    return RegistryAccess(HOST, lab.mirror.url, Path(lab.mirror.ca), lab.login.username, lab.login.password)


@pytest.fixture
def workshop(access: RegistryAccess, tmp_path: Path) -> Workshop:
    return Workshop(access, Store(tmp_path / "store"))


@pytest.fixture
def code(tmp_path: Path) -> Path:
    return write(tmp_path / "code", FILES)


def test_only_the_layers_above_a_change_travel(
    workshop: Workshop, access: RegistryAccess, code: Path
) -> None:
    workshop.login(access.username, access.password)
    workshop.build(code, f"{NAME}-a:1")
    assert workshop.push(f"{NAME}-a:1").sent == (1, 2)
    write(code, {"code/main": "v2"})
    second = workshop.build(code, f"{NAME}-a:2")
    done = workshop.push(f"{NAME}-a:2")
    assert done.sent == (2,)
    assert [layer.instruction for layer in done.layers] == ["COPY packages /packages", "COPY code /code"]
    assert done.digest == second.digest


def test_a_tag_moves_and_a_digest_does_not(workshop: Workshop, access: RegistryAccess, code: Path) -> None:
    workshop.login(access.username, access.password)
    first = workshop.build(code, f"{NAME}-b:1")
    workshop.tag(f"{NAME}-b:1", f"{NAME}-b:latest")
    workshop.push(f"{NAME}-b:latest")
    assert workshop.digest(f"{NAME}-b:latest") == first.digest
    write(code, {"code/main": "v2"})
    second = workshop.build(code, f"{NAME}-b:2")
    workshop.tag(f"{NAME}-b:2", f"{NAME}-b:latest")
    workshop.push(f"{NAME}-b:latest")
    assert workshop.digest(f"{NAME}-b:latest") == second.digest != first.digest
    assert workshop.digest(f"{NAME}-b@{first.digest}") == first.digest


def test_a_wrong_login_is_refused_and_not_kept(
    workshop: Workshop, access: RegistryAccess, code: Path
) -> None:
    workshop.build(code, f"{NAME}-c:1")
    with pytest.raises(Unauthorized, match="requires a login"):
        workshop.push(f"{NAME}-c:1")
    with pytest.raises(Unauthorized, match="refused the login of `learner`"):
        workshop.login(access.username, "last year's")
    with pytest.raises(Unauthorized, match="requires a login"):
        workshop.push(f"{NAME}-c:1")


def test_the_tables_number_layers_not_steps(workshop: Workshop, access: RegistryAccess, code: Path) -> None:
    built = workshop.build(code, f"{NAME}-d:1")
    rows = image.built(built, stamp="test").rows
    assert [(row[0], row[2]) for row in rows] == [("1", "-"), ("2", "-"), ("3", "1"), ("4", "2"), ("5", "-")]
    assert rows[1][4] == "metadata only"
    again = image.built(workshop.build(code, f"{NAME}-d:1"), stamp="test")
    assert [row[4] for row in again.rows if row[2] != "-"] == ["from the cache", "from the cache"]
    workshop.login(access.username, access.password)
    pushed = image.pushed(workshop.push(f"{NAME}-d:1"), stamp="test")
    assert [row[3] for row in pushed.rows] == ["pushed", "pushed"]
    assert " sent" in pushed.title
