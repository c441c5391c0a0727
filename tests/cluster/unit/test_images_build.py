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

from labkit.errors import ImageError
from localcluster import polling, spawn
from localcluster.images.manifest import HOST_PYTHON, canonical, machine
from localcluster.images.reference import parse
from localcluster.images.rootfs import unpack
from localcluster.images.store import Store
from localcluster.toolchain.wheels import key_of
from tests.cluster.unit.images_world import FILES, NAME, built, write


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
        "import sys; from pathlib import Path; from localcluster.images.build import Request, build;"
        "from localcluster.images.store import Store; from localcluster.images.reference import parse;"
        "context, cache = map(Path, sys.argv[1:]);"
        "build(Request(context, parse('a')), Store(cache), lambda e: print(e, flush=True))"
    )
    builder = spawn.piped([sys.executable, "-c", program, str(context), str(store.cache_dir)])
    assert builder.stdout is not None
    assert any("started" in line for line in builder.stdout)
    polling.until(lambda: bool(sleeping()), "the command after the echo to start", seconds=10)
    (sleeper,) = sleeping()
    builder.send_signal(signal.SIGINT)
    builder.communicate()
    polling.until(lambda: sleeper not in sleeping(), "the command of the RUN to end", seconds=10)
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
        ("COPY server /usr/bin/server", "which is hidden by the host's files"),
        ("COPY ../outside .", "leaves the build context"),
        ("COPY nothing .", "COPY found no `nothing`"),
        ("COPY requirements.txt server /app", "which does not end with a slash"),
        ("COPY requirements.txt", "COPY needs a source and a destination"),
        ("USER ghost\nRUN true", "no user `ghost`"),
        ("EXPOSE eighty", "`eighty` is not a port"),
        ("EXPOSE 0", "`0` is not a port"),
        ("EXPOSE 9000-8000", "`9000-8000` is not a port"),
        ("EXPOSE 70000", "`70000` is not a port"),
        ("STOPSIGNAL SIGNOTHING", "is not a signal"),
        ("USER 1000:ghosts\nRUN true", "no group `ghosts`"),
        ('USER ""', "USER has no name"),
        ("WORKDIR $NOTHING", "WORKDIR has no folder"),
        ("COPY server/../../outside .", "leaves the build context"),
        ('COPY "a b" /c/', "also splits at blanks inside quotes"),
        ("COPY [ab /c/", "is not a valid pattern"),
        ('ENV A="${B:?no B}"', "B: no B"),
        ("COPY --chmod=rwx requirements.txt .", "not an octal mode"),
    ],
)
def test_what_an_instruction_can_not_do(context: Path, store: Store, line: str, said: str) -> None:
    dockerfile(context, line)
    with pytest.raises(ImageError) as caught:
        built(context, store)
    assert said in caught.value.what
    assert str(context / "Dockerfile") in caught.value.what


@pytest.mark.parametrize("flag", ["linux/s390x", "windows/amd64", "$NOTHING/x"])
def test_another_platform_is_refused(context: Path, store: Store, flag: str) -> None:
    (context / "Dockerfile").write_text(f"FROM --platform={flag} python:3.11-slim\n")
    with pytest.raises(ImageError, match="is not this machine"):
        built(context, store)


def test_this_platform_may_be_named(context: Path, store: Store) -> None:
    (context / "Dockerfile").write_text("FROM --platform=$BUILDPLATFORM python:3.11-slim\nENV A=1\n")
    assert built(context, store).image.config.env["A"] == "1"


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
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # there always is one
    assert above.config.env == {"PATH": path, "A": "1", "B": "1"}
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


def test_files_from_windows(context: Path, store: Store) -> None:
    """A byte order mark in front of the first rule must not let the secret through."""
    mark = b"\xef\xbb\xbf"
    write(context, {"secret.env": "TOKEN=1", "debug.log": ""})
    (context / ".dockerignore").write_bytes(mark + b"secret.env\r\n*.log\r\n")
    text = "FROM python:3.11-slim\r\nCOPY . /app/\r\nRUN echo one && \\\r\n    echo two > /app/two.txt\r\n"
    (context / "Dockerfile").write_bytes(mark + text.encode())
    root = unpack(store, built(context, store).image).rootfs
    given = {"Dockerfile", ".dockerignore", "requirements.txt", "server/__init__.py", "server/__main__.py"}
    assert files(root / "app") == {*given, "two.txt"}
    (context / "Dockerfile.dockerignore").write_bytes(mark + b"*\r\n!server\r\n")  # goes before the other
    root = unpack(store, built(context, store).image).rootfs
    assert files(root / "app") == {"server/__init__.py", "server/__main__.py", "two.txt"}


@pytest.mark.parametrize(
    "lines", [b"\xef\xbb\xbfaiohttp\r\n# why\r\n", "aiohttp\r\n".encode("utf-16"), b"\xe9"]
)
def test_requirements_from_any_editor_have_a_folder_of_wheels(tmp_path: Path, lines: bytes) -> None:
    """Pip reads a byte order mark, CRLF and UTF-16; what it can't read it refuses itself."""
    (tmp_path / "plain").write_text("aiohttp\n")
    (tmp_path / "requirements.txt").write_bytes(lines)
    same = key_of(tmp_path / "requirements.txt") == key_of(tmp_path / "plain")
    assert same == lines.startswith(b"\xef\xbb\xbf")


def test_a_link_shows_nothing_that_is_hidden(context: Path, store: Store) -> None:
    write(context, {"secret.env": "TOKEN=1", ".dockerignore": "secret.env\n"})
    (context / "innocent").symlink_to("secret.env")
    dockerfile(context, "COPY innocent /app/")
    with pytest.raises(ImageError, match="a link to a file that"):
        built(context, store)


def test_continued_lines_keep_words_apart(context: Path, store: Store) -> None:
    dockerfile(
        context,
        "ENV HOST=0.0.0.0\\\n    TIMEOUT=30",
        "RUN echo numpy\\\n    requests > /opt/words",
        "RUN echo a\\\n# a comment in the middle\nb > /opt/ab",
    )
    image = built(context, store).image
    root = unpack(store, image).rootfs
    assert (image.config.env["HOST"], image.config.env["TIMEOUT"]) == ("0.0.0.0", "30")  # noqa: S104
    assert (root / "opt/words").read_text() == "numpy requests\n"
    assert (root / "opt/ab").read_text() == "ab\n"


ENTRY = 'ENTRYPOINT ["serve"]'


@pytest.mark.parametrize(
    ("lines", "entrypoint", "cmd"),
    [
        (['CMD ["--a"]', ENTRY], ("serve",), ("--a",)),  # a CMD of this Dockerfile stays
        ([ENTRY, 'CMD ["--a"]'], ("serve",), ("--a",)),
        ([ENTRY], ("serve",), ()),  # the base image's CMD was made for its own program
        (["ENTRYPOINT []"], (), ()),
        ([], (), ("python3",)),
        (["CMD []", ENTRY], ("serve",), ()),
        (["CMD serve --port $PORT"], (), ("/bin/sh", "-c", "serve --port $PORT")),
        (["ENTRYPOINT serve"], ("/bin/sh", "-c", "serve"), ()),
        (['SHELL ["bash", "-ec"]', "CMD serve"], (), ("bash", "-ec", "serve")),
        (["CMD ['serve']"], (), ("/bin/sh", "-c", "['serve']")),
        (['CMD ["--a"]', 'CMD ["--b"]', ENTRY], ("serve",), ("--b",)),
    ],
)
def test_entrypoint_and_cmd(
    context: Path, store: Store, lines: list[str], entrypoint: tuple[str, ...], cmd: tuple[str, ...]
) -> None:
    config = built(dockerfile(context, *lines), store).image.config
    assert (config.entrypoint, config.cmd) == (entrypoint, cmd)


@pytest.mark.parametrize(
    ("lines", "member", "wanted"),
    [
        (["WORKDIR /a", "WORKDIR b", "WORKDIR ../c"], "workdir", "/a/c"),
        (["ENV D=/e", "WORKDIR $D/f"], "workdir", "/e/f"),
        (['WORKDIR "/with space"'], "workdir", "/with space"),
        (["USER 1000:2000"], "user", "1000:2000"),
        (["ARG U=7", "USER ${U}"], "user", "7"),
        (["EXPOSE 80 443/TCP 53/udp"], "exposed_ports", ("443/tcp", "53/udp", "80/tcp")),
        (["EXPOSE 8000-8002"], "exposed_ports", ("8000/tcp", "8001/tcp", "8002/tcp")),
        (['ENV P="80 81"', "EXPOSE $P"], "exposed_ports", ("80/tcp", "81/tcp")),
        (["STOPSIGNAL SIGINT"], "stop_signal", "SIGINT"),
        (["ARG S=QUIT", "STOPSIGNAL $S"], "stop_signal", "QUIT"),
        (["STOPSIGNAL 9"], "stop_signal", "9"),
        (['SHELL ["bash", "-c"]'], "shell", ("bash", "-c")),
        (["HEALTHCHECK NONE"], "cmd", ("python3",)),
    ],
)
def test_what_goes_into_the_image_s_config(
    context: Path, store: Store, lines: list[str], member: str, wanted: object
) -> None:
    config = built(dockerfile(context, *lines), store).image.config
    assert getattr(config, member) == wanted


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (["ENV A=1 B=$A C=c"], {"A": "1", "B": "", "C": "c"}),  # a line sees what stood above it
        (["ENV A=1", "ENV A=2 B=$A"], {"A": "2", "B": "1"}),
        (["ENV A the rest  of it"], {"A": "the rest  of it"}),
        (["ARG A=arg", "ENV A=env", "ENV B=$A"], {"A": "env", "B": "env"}),
        (["ENV A=env", "ARG A=again", "ENV B=$A"], {"A": "env", "B": "again"}),  # the later one, in the build
        (["ARG A=1 B=$A", "ENV C=[$A$B]"], {"C": "[11]"}),
        (["ARG TARGETARCH TARGETOS", "ENV A=$TARGETOS/$TARGETARCH"], {"A": f"linux/{machine()}"}),
        (["ENV A=${NO:-${NEITHER-x}}"], {"A": "x"}),
    ],
)
def test_variables(context: Path, store: Store, lines: list[str], wanted: dict[str, str]) -> None:
    config = built(dockerfile(context, *lines), store).image.config
    assert {key: config.env.get(key) for key in wanted} == wanted


def test_run_in_another_shell_and_group(context: Path, store: Store) -> None:
    dockerfile(
        context,
        "WORKDIR /srv",
        'SHELL ["/bin/sh", "-e", "-c"]',
        "RUN id -g > root; echo $- > flags",
        "USER 1000",
        "RUN id -g > none",
        "USER 1000:2000",
        "RUN id -g > given",
        "USER nobody",
        "RUN id -g > named",
        "USER nobody:root",
        "RUN id -g > both",
    )
    root = unpack(store, built(context, store).image).rootfs / "srv"
    found = {name: (root / name).read_text().strip() for name in ("root", "none", "given", "named", "both")}
    assert found == {"root": "0", "none": "0", "given": "2000", "named": "65534", "both": "0"}
    assert "e" in (root / "flags").read_text()


def test_a_base_with_onbuild_is_refused(context: Path, store: Store) -> None:
    below = built(context, store, "localhost/below:v1").image
    document = {**below.document, "config": {**below.document["config"], "OnBuild": ["RUN echo later"]}}
    config = canonical(document)
    descriptor = replace(below.manifest.config, digest=store.blobs.put(config), size=len(config))
    digest = store.blobs.put(replace(below.manifest, config=descriptor).write())
    store.tag(parse("localhost/below:v2"), digest)
    (context / "Dockerfile").write_text("FROM localhost/below:v2\n")
    with pytest.raises(ImageError, match="has ONBUILD instructions"):
        built(context, store)


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
