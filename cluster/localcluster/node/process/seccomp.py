"""The seccomp profile `RuntimeDefault` of these nodes: system calls that a container can't make.

What container runtimes withhold from a container without capabilities: mounts, namespaces, kernel modules and
keys, the clock, tracing of the kernel. The calls fail with EPERM, as there.
https://docs.docker.com/engine/security/seccomp/ (calls), https://www.kernel.org/doc/Documentation/networking/filter.txt
"""

from __future__ import annotations

import errno
import os
import platform
import struct

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_…
_DENIED = {
    "x86_64": (
        *(103, 134, 136, 139, 153, 155, 156, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 174),
        *(175, 176, 177, 178, 179, 180, 212, 227, 237, 238, 239, 246, 248, 249, 250, 272, 298, 300, 303),
        *(304, 305, 308, 312, 313, 320, 321, 323),
    ),
    "aarch64": (
        *(18, 39, 40, 41, 42, 58, 60, 89, 97, 104, 105, 106, 112, 116, 142, 161, 162, 170, 217, 218, 219),
        *(224, 225, 235, 236, 237, 241, 262, 264, 265, 266, 268, 272, 273, 280, 282, 294),
    ),
}
"""syslog, pivot_root, mount, swapon, reboot, init_module, keyctl, unshare, setns, bpf, perf_event_open, …"""
_DENIED_EVERYWHERE = (
    425,
    426,
    427,
    428,
    429,
    430,
    431,
    432,
    433,
    442,
    443,
)  # io_uring, new mounts, quotactl_fd
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW…
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000  # __X32_SYSCALL_BIT
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF instructions
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def program(machine: str = "") -> bytes:
    """The filter as `struct sock_filter`s; empty for a machine whose system calls are not known."""
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        return b""
    denied = sorted({*_DENIED[machine], *_DENIED_EVERYWHERE})
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),  # of another architecture, whose numbers mean something else
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),  # the same calls under other numbers
        (_EQUAL, 0, 1, _CLONE3),  # its flags can't be seen; the C library goes on with clone
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for number in denied:
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    code += [
        (_EQUAL, 0, 3, _CLONE[machine]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, _NEW_NAMESPACES),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in code)


def opened() -> int:
    """The filter as a file, for bubblewrap or for `enter.py`; the caller closes it."""
    handle = os.memfd_create("seccomp")
    os.write(handle, program())
    os.lseek(handle, 0, os.SEEK_SET)
    return handle
