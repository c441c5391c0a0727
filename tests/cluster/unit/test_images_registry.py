"""Push and pull against the real registry, over TLS, with its login."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import ImageError
from localcluster.images import blocking, sweep
from localcluster.images.build import Request, build
from localcluster.images.credentials import Credentials, Login
from localcluster.images.failure import (
    Corrupt,
    HostUnreachable,
    NotFound,
    RegistryError,
    Unauthorized,
    pull_message,
)
from localcluster.images.pull import pull, remote_digest
from localcluster.images.push import Pushed, check_login, push
from localcluster.images.reference import Reference, parse
from localcluster.images.registry import Mirror
from localcluster.images.rootfs import RunnableImage
from localcluster.images.store import Store
from localcluster.images.transfer import Progress
from tests.cluster.unit.images_world import FILES, HOST, LabRegistry, broken_line, built, registry, write


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabRegistry]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write(tmp_path / "context", FILES)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "mine")


@pytest.fixture
def ref(request: pytest.FixtureRequest) -> Reference:
    """A repository of its own for each test."""
    return parse(f"{HOST}/{request.node.name.partition('[')[0]}:v1")


class Seen(list[Progress]):
    """What was reported, and the last word on each blob."""

    @property
    def ends(self) -> dict[str, str]:
        return {one.digest: one.status for one in self}


def pushed(lab: LabRegistry, store: Store, ref: Reference, seen: Seen | None = None) -> Pushed:
    tell = (seen if seen is not None else Seen()).append
    job = push(ref, store=store, mirrors=[lab.mirror], credentials=lab.credentials, on_progress=tell)
    return blocking.run(job)


def pulled(lab: LabRegistry, store: Store, ref: Reference, login: Login | None = None) -> RunnableImage:
    credentials = Credentials(((HOST, login),)) if login else lab.credentials
    return blocking.run(pull(ref, store=store, mirrors=[lab.mirror], credentials=credentials))


def test_what_is_pushed_is_what_is_pulled(
    lab: LabRegistry, store: Store, context: Path, ref: Reference, tmp_path: Path
) -> None:
    image = built(context, store, str(ref)).image
    assert pushed(lab, store, ref).digest == image.digest
    other = Store(tmp_path / "node")
    runnable = pulled(lab, other, ref)
    assert runnable.digest == image.digest
    assert runnable.config == image.config
    assert (runnable.base, runnable.size_bytes) == ("python:3.11-slim", image.size_bytes)
    assert (runnable.rootfs / "app/server/__main__.py").read_text() == "print('serving')\n"
    assert pulled(lab, other, ref.at(image.digest)).rootfs == runnable.rootfs
    asked = remote_digest(ref, mirrors=[lab.mirror], credentials=lab.credentials)
    assert blocking.run(asked) == image.digest


def test_a_second_push_sends_no_layer_and_a_changed_line_sends_one(
    lab: LabRegistry, store: Store, context: Path, ref: Reference
) -> None:
    image = built(context, store, str(ref)).image
    assert pushed(lab, store, ref).layers_sent == len(image.manifest.layers)
    seen = Seen()
    again = pushed(lab, store, ref, seen)
    assert (again.layers_sent, again.bytes_sent) == (0, 0)
    assert set(seen.ends.values()) == {"Layer already exists"}
    write(context, {"server/__main__.py": "print('serving better')\n"})
    changed = built(context, store, str(ref)).image
    seen = Seen()
    assert pushed(lab, store, ref, seen).layers_sent == 1
    assert seen.ends[changed.manifest.layers[-1].digest] == "Pushed"


def test_a_node_leaves_the_names_of_people_alone(
    lab: LabRegistry, store: Store, context: Path, ref: Reference
) -> None:
    old = built(context, store, str(ref)).image
    pushed(lab, store, ref)
    write(context, {"server/__main__.py": "print('serving better')\n"})
    new = built(context, store, str(ref)).image
    assert pulled(lab, store, ref).digest == old.digest
    assert store.get(ref).digest == new.digest
    store.forget(str(ref))
    sweep.blobs(store)
    assert store.find(ref.at(old.digest))
    assert sweep.nodes(store) == 1
    assert (sweep.blobs(store).count, sweep.roots(store)) != (0, 0)
    assert list(store.blobs) == []


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    lab: LabRegistry, store: Store, context: Path, ref: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(context, store, str(ref))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    pushed(lab, store, ref)
    assert pulled(lab, store, ref).digest == store.get(ref).digest


def test_a_second_pull_moves_nothing_but_the_manifest(
    lab: LabRegistry, store: Store, context: Path, ref: Reference
) -> None:
    built(context, store, str(ref))
    pushed(lab, store, ref)
    seen = Seen()
    job = pull(
        str(ref), store=store, mirrors=[lab.mirror], credentials=lab.credentials, on_progress=seen.append
    )
    blocking.run(job)
    assert set(seen.ends.values()) == {"Already exists"}


def test_a_layer_of_several_chunks(
    lab: LabRegistry, store: Store, context: Path, ref: Reference, tmp_path: Path
) -> None:
    (context / "weights").write_bytes(random.Random(1).randbytes(20_000_000))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY weights /\n")
    built(context, store, str(ref))
    seen = Seen()
    pushed(lab, store, ref, seen)
    assert sum(one.status == "Pushing" for one in seen) > 2
    got = pulled(lab, Store(tmp_path / "node"), ref).rootfs / "weights"
    assert got.read_bytes() == (context / "weights").read_bytes()


def test_a_transfer_that_breaks_goes_on_from_there(
    lab: LabRegistry, store: Store, context: Path, ref: Reference, tmp_path: Path
) -> None:
    (context / "weights").write_bytes(random.Random(2).randbytes(20_000_000))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY weights /\n")
    image = built(context, store, str(ref)).image
    node, seen = Store(tmp_path / "node"), Seen()

    async def there_and_back() -> None:
        async with broken_line(lab.mirror, after=12_000_000) as line:
            await push(ref, store=store, mirrors=[line.mirror], credentials=lab.credentials)
            sent = line.carried
            line.rearm()
            await pull(
                ref,
                store=node,
                mirrors=[line.mirror],
                credentials=lab.credentials,
                on_progress=seen.append,
            )
        assert line.broken == 2
        assert image.size_bytes <= sent < 1.9 * image.size_bytes
        assert image.size_bytes <= line.carried - sent < 1.3 * image.size_bytes

    blocking.run(there_and_back())
    assert node.get(ref.at(image.digest)).digest == image.digest


@pytest.mark.parametrize("login", [Login("learner", "sesame, shut"), Login("nobody", "open sesame")])
def test_a_wrong_login(lab: LabRegistry, store: Store, ref: Reference, login: Login) -> None:
    with pytest.raises(Unauthorized) as caught:
        pulled(lab, store, ref, login)
    assert f"refused the login of `{login.username}`" in caught.value.what
    said = pull_message(ref, caught.value)
    assert said.startswith(f'failed to pull and unpack image "{ref}": failed to resolve reference "{ref}": ')
    assert said.endswith("401 Unauthorized")
    assert login.password not in str(caught.value)


def test_no_login(lab: LabRegistry, store: Store, context: Path, ref: Reference) -> None:
    built(context, store, str(ref))
    with pytest.raises(Unauthorized, match="requires a login") as caught:
        blocking.run(pull(ref, store=store, mirrors=[lab.mirror]))
    assert "no basic auth credentials" in caught.value.detail
    with pytest.raises(Unauthorized):
        blocking.run(push(ref, store=store, mirrors=[lab.mirror]))


def test_logins_are_tried_in_turn(
    lab: LabRegistry, store: Store, context: Path, ref: Reference, tmp_path: Path
) -> None:
    built(context, store, str(ref))
    pushed(lab, store, ref)
    old, other = Login("old", "login"), Login("learner", "sesame, shut")
    every = Credentials(((HOST, other), (HOST, lab.login), (f"{HOST}/{ref.path}", old)))
    blocking.run(pull(ref, store=Store(tmp_path / "node"), mirrors=[lab.mirror], credentials=every))
    assert blocking.run(remote_digest(ref, mirrors=[lab.mirror], credentials=every))
    wrong = Credentials(((HOST, other), (HOST, Login("", "")), (HOST, old)))
    with pytest.raises(Unauthorized) as caught:
        blocking.run(pull(ref, store=Store(tmp_path / "other"), mirrors=[lab.mirror], credentials=wrong))
    assert len(caught.value.before) == 2
    said = pull_message(ref, caught.value)
    assert said.startswith("[failed to pull")
    assert said.count("failed to pull") == 2  # what two logins were told alike is said once


def test_a_login_is_asked_for_before_it_is_kept(lab: LabRegistry) -> None:
    blocking.run(check_login(HOST, lab.login, mirrors=[lab.mirror]))
    with pytest.raises(Unauthorized):
        blocking.run(check_login(HOST, Login("learner", "sesame, shut"), mirrors=[lab.mirror]))


@pytest.mark.parametrize("version", [":nothing", "@sha256:" + "0" * 64])
def test_what_was_never_pushed(lab: LabRegistry, store: Store, version: str) -> None:
    ref = parse(f"{HOST}/never-pushed{version}")
    with pytest.raises(NotFound) as caught:
        pulled(lab, store, ref)
    assert pull_message(ref, caught.value).endswith(f"{ref}: not found")
    assert caught.value.grpc_code == "NotFound"


def test_a_host_without_a_name(store: Store) -> None:
    ref = parse("no-such-host.invalid/a:v1")
    with pytest.raises(HostUnreachable) as caught:
        blocking.run(pull(ref, store=store))
    assert "lookup no-such-host.invalid: no such host" in pull_message(ref, caught.value)


def test_a_registry_that_is_out_of_reach_is_told_with_the_one_that_is_not(
    lab: LabRegistry, store: Store
) -> None:
    ref = parse("no-such-host.invalid/library/nginx")
    with pytest.raises(HostUnreachable) as caught:
        blocking.run(pull(ref, store=store, mirrors=[lab.mirror]))
    said = pull_message(ref, caught.value)
    assert "no such host (this lab pulls from registry.lab:5000 only" in said
    assert "push it as registry.lab:5000/nginx:latest" in said
    assert "push it as registry.lab:5000/nginx:latest" in caught.value.fix


def test_nobody_listens(store: Store) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        ref = parse(f"127.0.0.1:{one.getsockname()[1]}/a:v1")
        with pytest.raises(HostUnreachable) as caught:
            blocking.run(pull(ref, store=store))
    assert "connect: connection refused" in caught.value.detail


def test_a_certificate_that_nobody_signed(lab: LabRegistry, store: Store, ref: Reference) -> None:
    with pytest.raises(HostUnreachable, match="certificate"):
        blocking.run(pull(ref, store=store, mirrors=[Mirror(HOST, lab.mirror.url)]))


def test_a_registry_that_hands_out_other_bytes(
    lab: LabRegistry, store: Store, context: Path, ref: Reference, tmp_path: Path
) -> None:
    image = built(context, store, str(ref)).image
    pushed(lab, store, ref)
    layer = image.manifest.layers[-1]
    hexa = layer.digest.removeprefix("sha256:")
    kept = lab.root / "docker/registry/v2/blobs/sha256" / hexa[:2] / hexa / "data"
    good = kept.read_bytes()
    kept.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    node = Store(tmp_path / "node")
    try:
        with pytest.raises(Corrupt, match="Digest mismatch"):
            pulled(lab, node, ref)
    finally:
        kept.write_bytes(good)
    assert node.names() == {}
    assert not node.blobs.has(layer.digest)
    assert pulled(lab, node, ref).digest == image.digest


def test_many_pulls_at_once_move_each_blob_once(
    lab: LabRegistry, store: Store, context: Path, ref: Reference, tmp_path: Path
) -> None:
    built(context, store, str(ref))
    pushed(lab, store, ref)
    node, seen = Store(tmp_path / "node"), Seen()

    async def several() -> list[RunnableImage]:
        jobs = (
            pull(ref, store=node, mirrors=[lab.mirror], credentials=lab.credentials, on_progress=seen.append)
            for _ in range(5)
        )
        return await asyncio.gather(*jobs)

    images = blocking.run(several())
    assert len({image.rootfs for image in images}) == 1
    complete = [one.digest for one in seen if one.status == "Pull complete"]
    assert len(complete) == len(set(complete))


def test_build_and_pull_inside_of_a_running_loop(
    lab: LabRegistry, store: Store, context: Path, ref: Reference
) -> None:
    async def cell() -> str:
        build(Request(context, ref), store)
        return pushed(lab, store, ref).digest

    assert asyncio.run(cell()) == store.get(ref).digest


def test_an_image_that_is_not_here_is_not_pushed(lab: LabRegistry, store: Store, ref: Reference) -> None:
    with pytest.raises(ImageError, match="There is no image") as caught:
        pushed(lab, store, ref)
    assert not isinstance(caught.value, RegistryError)
