"""Install the locked packages and labkit into the environment that runs this, and tell how far it is.

Of pip's own settings (pip.conf, PIP_...), those hold that say from where packages come: index, proxy,
certificates. The others do not: `user = true`, `target` and their like would put packages elsewhere. Uses
nothing but Python's own library, and prints ASCII only: the terminal may know nothing else.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LOCK = Path("requirements.lock")
KEPT = frozenset(
    {"index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "cert", "client-cert"}
    | {
        "timeout",
        "default-timeout",
        "retries",
        "resume-retries",
        "cache-dir",
        "no-cache-dir",
        "keyring-provider",
        "use-feature",
    }
)
SECTIONS = ("global", "install", ":env:")
"""Where pip looks, the stronger last."""
EVERY = 5.0  # seconds between two lines of progress
QUICK = ("--progress-bar", "off", "--no-compile")  # Python compiles what is used, when it is used
ALONE = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
PASSWORD = re.compile(r"//[^/@\s]+@")


def main() -> int:
    """Install; the exit status."""
    began = time.monotonic()
    settings = pip_settings()
    env = pip_environment(settings)
    missing = "--require-hashes", "-r", str(LOCK)
    itself = "--no-deps", "--no-build-isolation", "-e", "./cluster", "-e", "."
    for words in (missing, itself):
        said = Pip([*words], env).run()
        if said is not None:
            tell_failure(said, settings)
            return 1
    print(f"ready in {time.monotonic() - began:.0f} s. Next:", file=sys.stderr)
    print("  make jupyter               work through the course in JupyterLab", file=sys.stderr)
    print(f"  . {Path(sys.prefix).name}/bin/activate      put labkit on this shell's PATH", file=sys.stderr)
    return 0


def pip_settings() -> dict[str, str]:
    """What pip is told, by files and by the environment, in the order in which it decides."""
    return parsed(pip_config("list"))


def pip_config(verb: str) -> str:
    """What `pip config` prints; it takes `user = true` for its own option, as any of pip's commands would."""
    env = {key: value for key, value in os.environ.items() if key != "PIP_PYTHON"}
    every = {"PIP_USER": "0", "PIP_GLOBAL": "0", "PIP_SITE": "0"}
    words = [sys.executable, "-m", "pip", "config", verb]
    done = subprocess.run(words, env=env | every, capture_output=True, text=True, check=False)
    if done.returncode:
        tell("error: pip can't read its settings:", *done.stderr.strip().splitlines()[-3:])
        raise SystemExit(1)
    return done.stdout


def parsed(listed: str) -> dict[str, str]:
    """`global.index-url='https://…'`, a line each, by the name of the setting."""
    found = re.findall(r"^(global|install|:env:)\.([\w-]+)=(.*)$", listed, re.MULTILINE)
    order = sorted(found, key=lambda line: SECTIONS.index(line[0]))
    return {name.replace("_", "-"): str(ast.literal_eval(value)) for _, name, value in order}


def pip_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment for pip: no file of settings, and of those only what says where packages come from."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    kept = {f"PIP_{name.upper().replace('-', '_')}": v for name, v in settings.items() if name in KEPT}
    return {**plain, **ALONE, **kept}


class Pip:
    """One run of `pip install`."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str]) -> None:
        self._words = [sys.executable, "-m", "pip", "install", *QUICK, *words]
        self._env = dict(env)
        self._lines: list[str] = []
        self._locked = len(re.findall(r"^\S+==", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
        self._site = Path(sysconfig.get_path("purelib"))
        self._before = self._installed()
        self._fetched_at = 0.0

    def run(self) -> list[str] | None:
        """Nothing, or what pip said where it failed."""
        child = subprocess.Popen(
            self._words,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        assert child.stdout
        reader = threading.Thread(target=self._lines.extend, args=(child.stdout,), daemon=True)
        reader.start()
        began = time.monotonic()
        while reader.is_alive():
            reader.join(EVERY)
            if reader.is_alive() and "-r" in self._words:
                print(self._progress(time.monotonic() - began), file=sys.stderr, flush=True)
        return self._lines if child.wait() else None

    def _progress(self, seconds: float) -> str:
        lines = list(self._lines)
        there = sum(line.startswith("Requirement already satisfied") for line in lines)
        total = max(1, self._locked - sum(line.startswith("Ignoring ") for line in lines) - there)
        fetched = min(total, sum(line.startswith("Collecting ") for line in lines))
        installed = min(total, self._installed() - self._before)
        if not installed:
            self._fetched_at = seconds
            left = seconds * (2 * total - fetched) / fetched if fetched > total / 10 else 0.0
        else:
            left = (seconds - self._fetched_at) * (total - installed) / installed
        told = f"; about {left:.0f} s left" if left >= 1 else "; the last ones are large" if installed else ""
        return f"  {seconds:3.0f} s: {fetched} of {total} packages fetched, {installed} installed{told}"

    def _installed(self) -> int:
        return len(list(self._site.glob("*.dist-info")))


def tell_failure(said: Sequence[str], settings: Mapping[str, str]) -> None:
    """Pip's last words, and the settings that were in force: one of them is often the cause."""
    tell("error: pip could not install the packages. Its last lines:")
    tell(*(f"  {line.rstrip()}" for line in said[-12:]))
    kept = {name: value for name, value in settings.items() if name in KEPT}
    if kept:
        tell("cause: maybe one of these settings of pip:")
        tell(*(f"  {name} = {' '.join(value.split())}   ({origin(name)})" for name, value in kept.items()))
    else:
        tell("cause: no network, or a proxy that is not set (HTTPS_PROXY; pip config set global.proxy URL).")
    tell("fix:   Fix that, then run the same command again: what was fetched is kept.")


def origin(name: str) -> str:
    """Where a setting stands: its variable, or the file that pip names."""
    variable = f"PIP_{name.upper().replace('-', '_')}"
    if variable in os.environ:
        return f"from {variable}"
    file = ""
    for line in pip_config("debug").splitlines():
        if found := re.match(r"\s+(/.*), exists: ", line):
            file = found[1]
        elif re.match(rf"\s+(global|install)\.{name}:", line):
            return f"from {file}"
    return "from pip's settings"


def tell(*lines: str) -> None:
    """Lines on standard error, without anybody's password, in letters that every terminal has."""
    for line in lines:
        shown = PASSWORD.sub("//***@", line).encode("ascii", "replace").decode()
        print(shown, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
