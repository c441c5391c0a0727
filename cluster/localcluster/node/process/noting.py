"""`python -I -S noting.py STATUS COMMAND…`: runs a command, and records its pid and exit code.

For containers without isolation, instead of bubblewrap. It passes the environment on unchanged (a shell would
drop names that it could not have written), and imports nothing of localcluster.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_NOT_FOUND, _NOT_RUNNABLE, _KILLED = 127, 126, 128


def _note(status: Path, key: str, value: int) -> None:
    with status.open("a") as file:
        file.write(f'{{ "{key}": {value} }}\n')


def main(status: Path, command: list[str]) -> int:
    """Run the command; its exit status."""
    child = os.fork()
    if child == 0:
        code = _NOT_RUNNABLE
        try:
            os.execvp(command[0], command)  # noqa: S606 - there is no shell
        except OSError as error:
            sys.stderr.write(f'exec: "{command[0]}": {error.strerror}\n')
            sys.stderr.flush()
            code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUNNABLE
        finally:
            os._exit(code)
    _note(status, "child-pid", child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = code if code >= 0 else _KILLED - code
    _note(status, "exit-code", code)
    return code


if __name__ == "__main__":
    os._exit(main(Path(sys.argv[1]), sys.argv[2:]))
