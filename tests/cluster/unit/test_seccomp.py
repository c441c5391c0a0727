"""The filter of system calls: what it says to each call, on each machine."""

from __future__ import annotations

import errno
import struct

import pytest

from localcluster.node.process import seccomp

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOWED, DENIED, UNKNOWN = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
THREAD, NAMESPACE = 0x003D0F00, 0x10000000  # what pthread_create asks for, and CLONE_NEWUSER


def answer(code: bytes, number: int, *, architecture: int, argument: int = 0) -> int:
    """What the kernel's interpreter makes of a call."""
    data = struct.pack("=IIQQ", number, architecture, 0, argument)
    lines = list(struct.iter_unpack("=HBBI", code))
    here, loaded = 0, 0
    while True:
        what, yes, no, value = lines[here]
        here += 1
        match what:
            case 0x20:
                (loaded,) = struct.unpack_from("=I", data, value)
            case 0x06:
                return int(value)
            case _:
                holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[what]
                here += yes if holds else no


CALLS = {
    "x86_64": {"read": 0, "execve": 59, "clone": 56, "mount": 165, "unshare": 272, "bpf": 321, "last": 323},
    "aarch64": {"read": 63, "execve": 221, "clone": 220, "mount": 40, "unshare": 97, "bpf": 280, "last": 294},
}


@pytest.mark.parametrize("machine", CALLS)
def test_calls_of_servers_pass_and_those_that_change_the_machine_do_not(machine: str) -> None:
    code, here, calls = seccomp.program(machine), ARCHITECTURES[machine], CALLS[machine]
    for name in ("read", "execve"):
        assert answer(code, calls[name], architecture=here) == ALLOWED
    for number in (calls["mount"], calls["unshare"], calls["bpf"], calls["last"], 425, 443):
        assert answer(code, number, architecture=here) == DENIED
    assert answer(code, calls["clone"], architecture=here, argument=THREAD) == ALLOWED
    assert answer(code, calls["clone"], architecture=here, argument=NAMESPACE) == DENIED
    assert answer(code, 435, architecture=here) == UNKNOWN  # clone3


@pytest.mark.parametrize("machine", CALLS)
def test_no_other_set_of_numbers_gets_around_it(machine: str) -> None:
    code = seccomp.program(machine)
    (other,) = {*ARCHITECTURES.values()} - {ARCHITECTURES[machine]}
    assert answer(code, 0, architecture=other) == UNKNOWN
    assert answer(code, 0x40000000 | 165, architecture=ARCHITECTURES[machine]) == UNKNOWN


def test_a_machine_whose_numbers_are_not_known_has_no_filter() -> None:
    assert seccomp.program("riscv64") == b""
