"""A Dockerfile becomes an image without Docker: layers, cache, and a RUN that can't reach the host."""

from __future__ import annotations

import os
import signal
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from labkit import _proc, _wait
from labkit.errors import ImageError
from labkit.images.manifest import HOST_PYTHON
from labkit.images.reference import parse
from labkit.images.rootfs import unpack
from labkit.images.store import Store
from tests.unit.images_world import FILES, NAME, built, write


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write(tmp_path / "context", FILES)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def dockerfile(context: Path, *lines: str) -> Path:
    (context / "Dockerfile").write_text("\n".join(["FROM python:3.11-slim", *lines]) + "\n")
    return context


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir() or p.is_symlink()}


def test_what_the_image_runs(context: Path, store: Store) -> None:
    image = built(context, store).image
    config = image.config
    assert (config.entrypoint, config.cmd) == (("python", "-m", "server"), ())
    assert (config.workdir, config.user, config.exposed_ports) == ("/app", "10001", ("8000/tcp",))
    assert config.env["PATH"].startswith("/usr/local/bin:")
    assert image.base == "python:3.11-slim"
    runnable = unpack(store, image)
    assert (runnable.rootfs / "opt/installed").read_text() == "aiohttp\n"
    assert (runnable.rootfs / "app/server/__main__.py").read_text() == "print('serving')\n"
    assert "--ro-bind" in runnable.host_mounts()


def test_layers_hold_only_what_the_dockerfile_adds(context: Path, store: Store) -> None:
    image = built(context, store).image
    names = []
    for layer in image.manifest.layers:
        with tarfile.open(store.blobs.path(layer.digest)) as tar:
            names.append(tar.getnames())
            assert {(m.uid, m.gid, m.mtime, m.uname) for m in tar.getmembers()} == {(0, 0, 0, "")}
    assert names == [
        ["app"],
        ["app/requirements.txt"],
        ["opt", "opt/installed"],
        ["app/server", "app/server/__init__.py", "app/server/__main__.py"],
    ]


def test_the_same_input_gives_the_same_digest(context: Path, tmp_path: Path) -> None:
    first = built(context, Store(tmp_path / "one")).image
    for file in context.rglob("*"):
        os.utime(file, (1, 1))
    (context / "requirements.txt").chmod(0o600)  # somebody else's umask
    second = built(context, Store(tmp_path / "two")).image
    assert first.digest == second.digest


def test_a_line_of_code_keeps_the_layers_below_it(context: Path, store: Store) -> None:
    before = built(context, store)
    assert before.status("RUN") == before.status("COPY server") == "built"
    (context / "server/__main__.py").write_text("print('serving better')\n")
    after = built(context, store)
    assert [after.status(i) for i in ("WORKDIR", "COPY requirements", "RUN")] == ["CACHED"] * 3
    assert after.status("COPY server") == "built"
    assert before.image.manifest.layers[:3] == after.image.manifest.layers[:3]
    assert before.image.digest != after.image.digest


def test_new_requirements_run_everything_above_them_again(context: Path, store: Store) -> None:
    built(context, store)
    (context / "requirements.txt").write_text("aiohttp\nuvloop\n")
    after = built(context, store)
    assert after.status("WORKDIR") == "CACHED"
    assert after.status("RUN") == after.status("COPY requirements") == "built"
    assert built(context, store).status("RUN") == "CACHED"
    assert built(context, store, use_cache=False).status("RUN") == "built"


def test_a_cached_layer_whose_blob_is_gone_is_built_again(context: Path, store: Store) -> None:
    first = built(context, store).image
    store.blobs.remove(first.manifest.layers[2].digest)
    assert built(context, store).status("RUN") == "built"
    assert built(context, store).image.digest == first.digest


def test_what_run_deletes_is_gone(context: Path, store: Store) -> None:
    dockerfile(
        context,
        "COPY . /opt/all/",
        "WORKDIR /opt/all",
        "RUN rm Dockerfile && rm -r server && mkdir server && touch server/new",
        "RUN mv /opt/all/requirements.txt /opt/moved && ln -s moved /opt/link && chmod 4755 /opt/moved",
    )
    done = built(context, store)
    root = unpack(store, done.image).rootfs
    assert files(root / "opt") == {"all/server/new", "moved", "link"}
    assert (root / "opt/moved").stat().st_mode & 0o7777 == 0o755
    assert "note: /opt/moved: set-uid and set-gid bits dropped" in done.lines
    with tarfile.open(store.blobs.path(done.image.manifest.layers[1].digest)) as tar:
        assert "opt/all/.wh.Dockerfile" in tar.getnames()
        assert "opt/all/server/.wh..wh..opq" in tar.getnames()


def test_the_sandbox_of_run(context: Path, store: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host only")
    dockerfile(
        context,
        "ARG WHO=nobody",
        "ENV GREETING=hello",
        "WORKDIR /srv",
        f"RUN test ! -e {secret} && touch /tmp/gone /run/gone && id -u > uid",
        "USER 10001",
        'RUN ["sh", "-c", "echo $GREETING $WHO $(id -u) $(pwd) > /srv/told"]',
        "RUN python -c 'import sys; print(sys.version_info[:2])' > python; ! touch /usr/bin/x 2> refused",
    )
    done = built(context, store, args={"WHO": "you", "UNUSED": "1"})
    root = unpack(store, done.image).rootfs
    assert (root / "srv/uid").read_text() == "0\n"
    assert (root / "srv/told").read_text() == "hello you 10001 /srv\n"
    assert (root / "srv/python").read_text().startswith("(3, ")
    assert "Read-only file system" in (root / "srv/refused").read_text()
    assert not (root / "tmp/gone").exists()
    assert "note: the build argument UNUSED is not declared by an ARG; it had no effect" in done.lines


def test_a_venv_made_by_run_works_in_the_next_one(context: Path, store: Store) -> None:
    dockerfile(
        context,
        "RUN python -m venv --without-pip /opt/venv",
        "ENV PATH=/opt/venv/bin:$PATH",
        "RUN python -c \"import subprocess, ssl, sys; print('prefix', sys.prefix)\"",
    )
    assert "prefix /opt/venv" in built(context, store).lines


def test_a_failing_run_names_the_line_and_leaves_no_image(context: Path, store: Store) -> None:
    dockerfile(context, "WORKDIR /app", "RUN echo so far && exit 3")
    with pytest.raises(ImageError) as caught:
        built(context, store)
    assert f"{context / 'Dockerfile'}:3: RUN ended with exit status 3" in caught.value.what
    assert "so far" in caught.value.fix
    assert store.find(parse(NAME)) is None
    assert not list((store.cache_dir / "rootfs").glob("run-*"))


def test_an_image_that_was_run_with_another_python(context: Path, store: Store) -> None:
    image = built(context, store).image
    notes = {**image.manifest.annotations, HOST_PYTHON: "/elsewhere/bin/python3"}
    moved = replace(image, manifest=replace(image.manifest, annotations=notes))
    with pytest.raises(ImageError, match="another machine's Python: /elsewhere"):
        unpack(store, moved)


def test_an_interrupt_ends_the_run_and_leaves_nothing(context: Path, store: Store) -> None:
    dockerfile(context, "RUN echo started && sleep 1234.5")
    program = (
        "import sys; from pathlib import Path; from labkit.images.build import Request, build;"
        "from labkit.images.store import Store; from labkit.images.reference import parse;"
        "context, cache = map(Path, sys.argv[1:]);"
        "build(Request(context, parse('a')), Store(cache), lambda e: print(e, flush=True))"
    )
    builder = _proc.piped([sys.executable, "-c", program, str(context), str(store.cache_dir)])
    assert builder.stdout is not None
    assert any("started" in line for line in builder.stdout)
    _wait.until(lambda: bool(sleeping()), "the command after the echo to start", seconds=10)
    (sleeper,) = sleeping()
    builder.send_signal(signal.SIGINT)
    builder.communicate()
    _wait.until(lambda: sleeper not in sleeping(), "the command of the RUN to end", seconds=10)
    assert not list((store.cache_dir / "rootfs").glob("run-*"))
    assert store.names() == {}


def sleeping() -> list[int]:
    found = psutil.process_iter(["pid", "cmdline"])
    return [p.pid for p in found if p.info["cmdline"] == ["sleep", "1234.5"]]


def test_system_packages_are_explained(context: Path, store: Store) -> None:
    dockerfile(context, "RUN apt-get no-such-command")
    with pytest.raises(ImageError, match="read-only base and one user"):
        built(context, store)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("COPY server /usr/bin/server", "which the host's files cover"),
        ("COPY ../outside .", "leaves the build context"),
        ("COPY nothing .", "COPY finds no `nothing`"),
        ("COPY requirements.txt server /app", "which is not written as a folder"),
        ("COPY requirements.txt", "COPY needs a source and a destination"),
        ("USER ghost\nRUN true", "no user `ghost`"),
        ("EXPOSE eighty", "`eighty` is not a port"),
        ("COPY --chmod=rwx requirements.txt .", "not an octal mode"),
    ],
)
def test_what_an_instruction_can_not_do(context: Path, store: Store, line: str, said: str) -> None:
    dockerfile(context, line)
    with pytest.raises(ImageError) as caught:
        built(context, store)
    assert said in caught.value.what
    assert str(context / "Dockerfile") in caught.value.what


def test_a_base_that_the_host_can_not_stand_in_for(context: Path, store: Store) -> None:
    (context / "Dockerfile").write_text("FROM nvidia/cuda:12\n")
    with pytest.raises(ImageError, match="nvidia/cuda:12 is not on this machine"):
        built(context, store)


def test_from_scratch_and_from_an_image_of_the_store(context: Path, store: Store) -> None:
    (context / "Dockerfile").write_text('FROM scratch\nCOPY requirements.txt /\nENV A=1\nCMD ["x"]\n')
    below = built(context, store, "localhost/below:v1").image
    assert below.base is None
    (context / "Dockerfile").write_text("FROM localhost/below:v1\nCOPY server /server\nENV B=$A\n")
    above = built(context, store, "localhost/above:v1").image
    assert above.manifest.layers[0] == below.manifest.layers[0]
    assert above.config.env == {"A": "1", "B": "1"}
    assert above.config.cmd == ("x",)
    assert files(unpack(store, above).rootfs) == {
        "requirements.txt",
        "server/__init__.py",
        "server/__main__.py",
    }


def test_dockerignore_and_wildcards(context: Path, store: Store) -> None:
    more = {
        ".dockerignore": "**/*.pyc\n# all\ndata\n!data/keep.txt\n*.md\n",
        "a.md": "",
        "data/big": "",
        "data/keep.txt": "",
    }
    write(context, {**more, "server/x.pyc": "", "one.txt": "", "two.txt": ""})
    dockerfile(context, "COPY . /app", "COPY *.txt /texts/", "COPY server/__*__.py /opt/")
    root = unpack(store, built(context, store).image).rootfs
    everything = {"Dockerfile", ".dockerignore", "requirements.txt", "one.txt", "two.txt", "data/keep.txt"}
    assert files(root / "app") == everything | {"server/__init__.py", "server/__main__.py"}
    assert files(root / "texts") == {"one.txt", "two.txt", "requirements.txt"}
    assert files(root / "opt") == {"__init__.py", "__main__.py"}


def test_where_copy_puts_a_file(context: Path, store: Store) -> None:
    dockerfile(
        context,
        "COPY requirements.txt /a/b/renamed",
        "COPY requirements.txt /a/b",  # a folder by now
        "COPY --chmod=700 --chown=me requirements.txt /c/",
        'COPY ["requirements.txt", "/with space/"]',
    )
    done = built(context, store)
    root = unpack(store, done.image).rootfs
    assert files(root / "a") == {"b/renamed", "b/requirements.txt"}
    assert (root / "c/requirements.txt").stat().st_mode & 0o777 == 0o700
    assert (root / "with space/requirements.txt").exists()
    assert any("--chown has no effect" in line for line in done.lines)


def test_links_in_the_context(context: Path, store: Store, tmp_path: Path) -> None:
    (context / "server/inner").symlink_to("__main__.py")
    (context / "outer").symlink_to(tmp_path)
    dockerfile(context, "COPY server /app")
    root = unpack(store, built(context, store).image).rootfs
    assert (root / "app/inner").readlink() == Path("__main__.py")
    dockerfile(context, "COPY outer /app")
    with pytest.raises(ImageError, match="a link that leaves the build context"):
        built(context, store)
