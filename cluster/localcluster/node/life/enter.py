"""`python -I -S enter.py PID FD PROFILE SOCKET COMMAND…`: runs a command in a container, as it would itself.

A program of its own because its environment must be empty: what a manifest sets (LD_PRELOAD) is for the
container's programs and comes by FD; it never reaches a process outside the container. It imports nothing of
localcluster. Gives up all capabilities, which joining a user namespace hands out, and can't be inspected by
the container until the command has replaced it. Where the container's system calls are filtered, so are the
command's, by the program in the descriptor PROFILE.

With a SOCKET (a descriptor; "-" for none) the command gets a terminal. Our end of it is handed over through
the socket, as runc does with its console socket, and the command starts when the socket says so. The terminal
is one of the container's own (/dev/pts), so that it has a name there. An ordinary user's container has no
root, without which the kernel mounts no devpts: it is made in a user namespace that has one, and moved in.
Where the kernel refuses that, it is a terminal of the host, which works but has no name in the container.

Between this program and the command stands a process inside the container that reaps whatever the command
leaves: a container's first process is its own program and seldom reaps. SIGTERM, also sent by the kernel when
the agent dies, ends the command with all its children, without a zombie.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import stat
import sys
import termios
from collections.abc import Callable
from pathlib import Path

_NAMESPACES = ("user", "uts", "pid", "mnt")
_PODS = ("net", "ipc")
_OWNER = 0xB701  # NS_GET_USERNS: ioctl_ns(2)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_PR_SET_SECCOMP, _FILTER = 22, 2
_CAP_VERSION_3 = 0x20080522
_NOT_FOUND, _NOT_RUNNABLE, _KILLED = 127, 126, 128
_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000  # sched.h
_MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 429, 430, 431, 432  # the same numbers on all machines
_SET_STRING, _CREATE = 1, 6  # fsconfig's commands
_QUIET = 2 | 8  # no set-uid programs, no programs at all
_HERE, _THE_MOUNT_ITSELF = -100, 4  # AT_FDCWD, MOVE_MOUNT_F_EMPTY_PATH
_UNLOCK, _NUMBER = 0x40045431, 0x80045430  # TIOCSPTLCK, TIOCGPTN: asm-generic/ioctls.h
_TERMINALS, _MULTIPLEXER = "/dev/pts", "/dev/pts/ptmx"


def _prctl(option: int, value: int) -> bool:
    return bool(_LIBC.prctl(option, value, 0, 0, 0) == 0)


def _be_bounded_as(pid: int) -> None:
    """Apply the limits of the container's first process."""
    for which in (resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
        resource.setrlimit(which, resource.prlimit(pid, which))
    score = Path(f"/proc/{pid}/oom_score_adj").read_text()
    Path("/proc/self/oom_score_adj").write_text(score)


def _join(pid: int) -> None:
    """Enter the container's namespaces; its pid namespace holds for children only."""
    theirs = {name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in (*_PODS, *_NAMESPACES)}
    shared = [name for name in _PODS if Path(f"/proc/self/ns/{name}").stat().st_ino == _inode(theirs[name])]
    first = [name for name in _PODS if name not in shared and _is_ours(theirs[name])]
    then = [name for name in (*_NAMESPACES, *_PODS) if name not in {*shared, *first}]
    handles = [theirs[name] for name in (*first, *then)]
    folder = os.open(f"/proc/{pid}/cwd", os.O_PATH)
    for handle in handles:
        if _LIBC.setns(handle, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        os.close(handle)
    os.fchdir(folder)
    for handle in (folder, *(theirs[name] for name in shared)):
        os.close(handle)


def _inode(handle: int) -> int:
    return os.fstat(handle).st_ino


def _is_ours(namespace: int) -> bool:
    """Whether it belongs to our user namespace, the lab's, and has to be joined before the container's."""
    try:
        owner = fcntl.ioctl(namespace, _OWNER)
    except PermissionError:
        return False
    try:
        return _inode(owner) == Path("/proc/self/ns/user").stat().st_ino
    finally:
        os.close(owner)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _system(number: int, *words: int | bytes | None) -> int:
    plain = [ctypes.c_long(w) if isinstance(w, int) else w for w in words]
    return _checked(int(_LIBC.syscall(ctypes.c_long(number), *plain)))


def _new_devpts() -> int:
    """A devpts that is not mounted yet; made by a child with its own user namespace and root."""
    ours, theirs = socket.socketpair()
    user, group = os.geteuid(), os.getegid()
    child = os.fork()
    if child == 0:
        try:
            _checked(_LIBC.unshare(_NEW_USER | _NEW_MOUNTS))
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
            handle = _system(_FSOPEN, b"devpts", 1)
            for key, value in ((b"ptmxmode", b"0666"), (b"mode", b"0620")):
                _system(_FSCONFIG, handle, _SET_STRING, key, value, 0)
            _system(_FSCONFIG, handle, _CREATE, None, None, 0)
            socket.send_fds(theirs, [b"!"], [_system(_FSMOUNT, handle, 1, _QUIET)])
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        _, handles, _, _ = socket.recv_fds(ours, 1, 1)
    os.waitpid(child, 0)
    if not handles:
        raise OSError("the kernel makes no devpts for this user")
    return handles[0]


def _devpts_for(pid: int) -> int | None:
    """A devpts to mount in the container; None if it has one, or can't have one."""
    if Path(f"/proc/{pid}/root{_MULTIPLEXER}").exists():
        return None
    try:
        return _new_devpts()
    except OSError:
        return None


def _own_terminal(devpts: int | None) -> tuple[int, int]:
    """Both ends of a new terminal of the container, in which we are."""
    if devpts is not None:
        Path(_TERMINALS).mkdir(exist_ok=True)
        _system(_MOVE_MOUNT, devpts, b"", _HERE, _TERMINALS.encode(), _THE_MOUNT_ITSELF)
        if not os.path.lexists("/dev/ptmx"):
            Path("/dev/ptmx").symlink_to("pts/ptmx")
    ours = os.open(_MULTIPLEXER, os.O_RDWR | os.O_NOCTTY)
    found = os.fstat(ours)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(5, 2):
        raise OSError(f"{_MULTIPLEXER} is no terminal multiplexer")  # a container can put anything there
    fcntl.ioctl(ours, _UNLOCK, array.array("i", [0]))
    number = array.array("i", [0])
    fcntl.ioctl(ours, _NUMBER, number)
    return ours, os.open(f"{_TERMINALS}/{number[0]}", os.O_RDWR | os.O_NOCTTY)


def _terminal(devpts: int | None, hosts: tuple[int, int], agent: socket.socket) -> int:
    """The command's end of a terminal; the other goes to the agent, which says when to start."""
    try:
        ours, theirs = _own_terminal(devpts)
    except OSError:
        ours, theirs = hosts
    socket.send_fds(agent, [b"!"], [ours])
    for each in {ours, *hosts} - {theirs}:
        os.close(each)
    if not agent.recv(1):
        os._exit(_NOT_RUNNABLE)  # the agent is gone
    agent.close()
    return theirs


def _sit_down_at(terminal: int) -> None:
    """Make it the controlling terminal of a new session, and all three streams."""
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for stream in (0, 1, 2):
        os.dup2(terminal, stream)
    if terminal > 2:
        os.close(terminal)


def _give_up_capabilities() -> None:
    for capability in range(64):
        if not _prctl(_PR_CAPBSET_DROP, capability):
            break  # the kernel knows no more of them
    header = (ctypes.c_uint32 * 2)(_CAP_VERSION_3, 0)
    if _LIBC.capset(header, (ctypes.c_uint32 * 6)()) or not _prctl(_PR_SET_NO_NEW_PRIVS, 1):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _filters(process: int | str) -> int:
    """How many seccomp filters a process has; no more than whether, on an old kernel."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    found = dict(line.split(":\t", 1) for line in lines if line.startswith("Seccomp"))
    return int(found.get("Seccomp_filters", found.get("Seccomp", "0")))


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("count", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _filter(profile: bytes) -> None:
    """From now on the profile holds for this process, and for all that it becomes and starts."""
    program = _Program(len(profile) // 8, profile)
    _checked(_LIBC.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0))


def _become(command: list[str], environment: dict[str, str], terminal: int | None, profile: bytes) -> int:
    """Replace this process by the command; an exit status where that fails."""
    if terminal is not None:
        _sit_down_at(terminal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and what it starts would ignore them too
        signal.signal(ignored, signal.SIG_DFL)
    try:
        if profile:
            _filter(profile)
        os.execvpe(command[0], command, environment)  # noqa: S606 - there is no shell
    except OSError as error:
        sys.stderr.write(f'exec: "{command[0]}": {error.strerror}\n')
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUNNABLE


def main(words: list[str]) -> int:
    """Run the command; its exit status."""
    pid, command = int(words[0]), words[4:]
    agent = socket.socket(fileno=int(words[3])) if words[3] != "-" else None
    with os.fdopen(int(words[2]), "rb") as file:
        profile = file.read()
    with os.fdopen(int(words[1]), "rb") as file:
        environment = json.load(file)
    terminal = None
    try:
        profile = profile if _filters(pid) > _filters("self") else b""
        devpts, hosts = (_devpts_for(pid), os.openpty()) if agent else (None, (-1, -1))
        _be_bounded_as(pid)
        _prctl(_PR_SET_DUMPABLE, 0)
        _join(pid)
        if agent:
            terminal = _terminal(devpts, hosts, agent)
        _give_up_capabilities()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until each of us has a handler for it
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    except OSError as error:
        sys.stderr.write(f"the container can't be entered: {error.strerror or error}\n")
        return _NOT_RUNNABLE
    keeper = _forked(lambda: _keep(command, environment, terminal, profile))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(keeper, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if terminal is not None:
        os.close(terminal)
    return _code(os.waitpid(keeper, 0)[1])


def _forked(work: Callable[[], int]) -> int:
    """Fork a child that runs `work` and exits with its result; returns the pid."""
    child = os.fork()
    if child == 0:
        status = _NOT_RUNNABLE
        try:
            status = work()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else _KILLED - code


def _keep(command: list[str], environment: dict[str, str], terminal: int | None, profile: bytes) -> int:
    """Start the command and reap its orphans until it ends; returns its exit status."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _hide_words()
    child = _forked(lambda: _become(command, environment, terminal, profile))
    signal.signal(signal.SIGTERM, lambda *_: _end_children())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if terminal is not None:
        os.close(terminal)
    _let_go_of_streams()
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return _code(status)


def _end_children() -> None:
    """Kill all children, including the orphans that we inherit."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in Path("/proc/self/task", str(os.getpid()), "children").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            os.waitpid(-1, 0)
    os._exit(_KILLED + signal.SIGKILL)


def _hide_words() -> None:
    """Hide the host's paths in our arguments, because the container can see this process."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = (int(fields[number - 3]) for number in (48, 49))  # proc_pid_stat(5): arg_start, arg_end
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)


def _let_go_of_streams() -> None:
    """Close our copies: they belong to the command, and readers must see them end with it."""
    nothing = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
