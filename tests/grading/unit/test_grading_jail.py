"""What a submission's process can see, say and ask: as little as the course needs."""

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from typer.testing import CliRunner

from labkit.errors import BadInput, LabError, Refused, Unreachable, WaitTimeout
from labkit.evidence import Series, Timeline
from labkit.load import Closed
from labkit_grading import sitting
from labkit_grading.cli.grade import app
from labkit_grading.judging.seal import key
from labkit_grading.kernel.inside import Grader, Remote
from labkit_grading.kernel.jail import COURSE, Jail, refuse_without
from labkit_grading.kernel.wire import GraderCodec, Line, is_ours
from labkit_grading.release.release import release
from labkit_grading.room import furnish, refuse_unless, unenforced
from localcluster import spawn
from localcluster.toolchain.locate import bwrap
from tests.grading.unit.grading_class import ROOT, folder

RUN = Timeline(15, "test", (Series("desired", "", ((0, 2), (20, 6))),), began=5.0)


@pytest.fixture(scope="module")
def edition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(ROOT, tmp_path_factory.mktemp("edition") / "course").folder


@pytest.fixture
def jail(edition: Path, tmp_path: Path) -> Jail:
    (tmp_path / "sockets").mkdir()
    return Jail(edition, edition, tmp_path / "sockets")


def inside(jail: Jail, program: str) -> str:
    done = spawn.run(jail.argv("python", "-c", program), seconds=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_submission_sees_the_course_and_none_of_the_instructors_files(jail: Jail, tmp_path: Path) -> None:
    secret = tmp_path / "hidden-checks.toml"
    secret.write_text("everything")
    told = inside(
        jail, f"import os; print([os.path.exists(p) for p in ({str(secret)!r}, {str(ROOT / 'tests')!r})])"
    )
    assert told == "[False, False]"
    assert inside(jail, "import os; print(os.path.exists('manifests/05-hpa-queue/solutions'))") == "False"
    assert inside(jail, "import labkit; print(labkit.__file__)") == f"{COURSE}/labkit/__init__.py"
    assert "SECRET" not in inside(jail, "import os; print(os.environ)")


def test_a_submission_has_no_network_and_no_process_but_its_own(jail: Jail) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    told = inside(jail, f"import socket; print(socket.socket().connect_ex(('127.0.0.1', {port})))")
    assert told == "111"  # refused: it is another loopback
    listener.close()
    assert int(inside(jail, "import os; print(sum(p.isdigit() for p in os.listdir('/proc')))")) <= 2


def test_a_submission_can_change_nothing_that_stays(jail: Jail) -> None:
    told = inside(
        jail, "import os; print([os.access(p, os.W_OK) for p in ('/course', '/usr', '/etc', '/tmp')])"
    )
    assert told == "[False, False, False, True]"


def test_no_message_of_a_kernel_fills_the_graders_memory(jail: Jail) -> None:
    client = sitting._manager(jail).client()
    with client.context.socket(zmq.SUB) as listener:
        assert listener.getsockopt(zmq.MAXMSGSIZE) == sitting.MESSAGE


def test_this_machine_can_wall_it_in() -> None:
    refuse_without()


def test_where_no_walls_can_be_built_nothing_is_graded(tmp_path: Path) -> None:
    folder(tmp_path / "class" / "ada", {"a.txt": b""})
    words = [str(tmp_path / "class"), "--out", str(tmp_path / "report"), "--trust-submissions", "-b", "05"]
    refused = [
        "--unshare-user",
        "--disable-userns",
        "--dev-bind",
        "/",
        "/",
    ]  # as by the system's own settings
    ran = spawn.run(
        [bwrap(), *refused, "--", sys.executable, "-m", "labkit.cli", "grade", *words], seconds=300
    )
    assert ran.returncode == 1
    assert "No student's code is run here" in ran.stderr
    assert "denies user namespaces to ordinary users" in ran.stderr
    assert "labkit doctor --apparmor | sudo tee" in ran.stderr
    assert "labkit collect takes a class in" in ran.stderr
    assert "isolation none" not in ran.stderr  # other people's code is never run without walls
    assert not (tmp_path / "report").exists()


@pytest.fixture
def pair() -> Iterator[tuple[Line, socket.socket]]:
    ours, theirs = socket.socketpair()
    end = Line(ours)
    yield end, theirs
    end.close()
    theirs.close()


@pytest.mark.parametrize("data", [b"[1]\n", b"{\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_nonsense_on_the_line_is_refused(pair: tuple[Line, socket.socket], data: bytes) -> None:
    pair[1].sendall(data)
    with pytest.raises(BadInput):
        pair[0].receive()


def test_a_line_that_is_cut_is_the_end(pair: tuple[Line, socket.socket]) -> None:
    pair[1].shutdown(socket.SHUT_WR)
    with pytest.raises(Unreachable):
        pair[0].receive()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[tuple[Grader, list[Any]]]:
    """A student's end, and a grader that gives back what it got, or `RUN`, or raises."""
    path = tmp_path / "s"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    got: list[Any] = []

    def serve() -> None:
        connection, _ = server.accept()
        end = Line(connection)
        codec = GraderCodec()
        try:
            while True:
                message = end.receive()
                args = [codec.decode(one) for one in message["args"]]
                got.append((message["do"], args, message["args"]))
                if message["do"] == "refuse":
                    told = {"kind": "Refused", "what": "no", "cause": "", "fix": "ask again"}
                    end.send({"error": told, "shown": []})
                else:
                    answer = {"run": RUN, "watch": object()}.get(message["do"], [args[:1], 1.5])
                    end.send({"value": codec.result(answer), "shown": []})
        except Unreachable:
            end.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    grader = Grader(str(path))
    yield grader, got
    grader.close()
    thread.join(5)
    server.close()


def test_what_the_grader_gave_comes_back_as_its_own(line: tuple[Grader, list[Any]]) -> None:
    grader, got = line
    copy = grader.call(0, "run", (), {})
    assert copy == RUN
    assert copy is not RUN
    grader.call(0, "check", (copy, Closed(users=3, seconds=60)), {})
    assert got[-1][1][0] is RUN
    assert is_ours(got[-1][2][0])
    assert got[-1][1][1] == Closed(users=3, seconds=60)


def test_a_forged_copy_is_not_the_graders(line: tuple[Grader, list[Any]]) -> None:
    grader, got = line
    grader.call(0, "check", (Timeline(15, "forged"), {"kept": 1}), {})
    assert not any(map(is_ours, got[-1][2]))


def test_what_stays_with_the_grader_is_a_name(line: tuple[Grader, list[Any]]) -> None:
    grader, got = line
    kept = grader.call(0, "watch", (), {})
    assert isinstance(kept, Remote)
    grader.call(0, "check", (kept,), {})
    assert is_ours(got[-1][2][0])


def test_a_dict_is_the_graders_only_where_it_counted_itself() -> None:
    codec = GraderCodec()
    assert is_ours(codec.result({"pod-a": 3}, counted=True))
    assert not is_ours(codec.result({"pod-a": 3}))


def test_a_refusal_is_raised_as_what_it_is(line: tuple[Grader, list[Any]]) -> None:
    with pytest.raises(Refused, match="no"):
        line[0].call(0, "refuse", (), {})


def test_what_is_not_enforced_is_said_and_has_to_be_accepted() -> None:
    with pytest.raises(BadInput, match="Memory is limited") as error:
        refuse_unless(trusted=False)
    assert "--trust-submissions" in error.value.fix
    assert all(line in error.value.what for line in unenforced())
    assert any("root" in line for line in unenforced()) == (os.getuid() == 0)
    refuse_unless(trusted=True)


def test_a_reports_folder_is_furnished_once_and_is_nobody_elses(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    mine = key(tmp_path / "key" / "k.pem")
    with pytest.raises(BadInput, match="is not empty"):
        furnish(ROOT, tmp_path, mine, rubric=None, notebooks=["05-hpa-queue"])
    for _ in range(2):
        room = furnish(ROOT, tmp_path / "report", mine, rubric=None, notebooks=["05-hpa-queue"])
        assert (room.edition / "notebooks" / "05-hpa-queue.ipynb").exists()
    assert 'notebooks = ["05"]' in (tmp_path / "report" / "rubric.toml").read_text()


def test_an_error_of_the_lab_has_the_same_name_on_both_sides() -> None:
    assert issubclass(WaitTimeout, LabError)
    assert json.dumps({"kind": WaitTimeout.__name__})


def invoke(*words: str) -> BaseException | None:
    return CliRunner().invoke(app, words).exception


def test_nobodys_code_is_run_before_somebody_said_yes(tmp_path: Path) -> None:
    folder(tmp_path / "class" / "ada", {"a.ipynb": b"{}"})
    error = invoke(str(tmp_path / "class"), "--out", str(tmp_path / "report"))
    assert isinstance(error, BadInput)
    assert "--trust-submissions" in error.fix
    assert not (tmp_path / "report").exists()
