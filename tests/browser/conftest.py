"""A fresh copy of the course with `make jupyter` running in it, and one browser for the session."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from localcluster import polling, spawn

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/lab\S*token=\w+")


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `git clone` gives, with the environment of this checkout in it: setting up is tested elsewhere."""
    folder = tmp_path_factory.mktemp("browser") / "course"
    listed = spawn.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@pytest.fixture(scope="session")
def address(clone: Path) -> Iterator[str]:
    """Where the JupyterLab of `make jupyter` answers; ended with Ctrl-C, and its lab taken down."""
    mine = {"LABKIT_HOME": "labs", "JUPYTER_CONFIG_DIR": "jupyter", "JUPYTER_DATA_DIR": "jupyter"}
    env = {**os.environ, **{name: str(clone.parent / folder) for name, folder in mine.items()}}
    log = clone.parent / "make-jupyter.log"
    make = spawn.popen(["make", "jupyter", "JUPYTER_ARGS=--no-browser"], log=log, cwd=clone, env=env)

    def address() -> str:
        assert make.poll() is None, f"make jupyter ended:\n{log.read_text()}"
        found = ADDRESS.search(log.read_text())
        return found.group() if found else ""

    try:
        yield polling.until(address, "the address of JupyterLab", seconds=300, last_seen=log.read_text)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(make.pid, signal.SIGINT)
        make.wait(60)
        spawn.run([ROOT / ".venv/bin/labkit", "down"], cwd=clone, env=env)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The Chromium of this system: `CHROMIUM`, or the first on the PATH."""
    named = [os.environ.get("CHROMIUM", ""), *BROWSERS]
    path = next((found for name in named if name and (found := shutil.which(name))), None)
    assert path, "There is no Chromium here. Fix: apt-get install chromium, or name one in CHROMIUM."
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to be run by root, which is what a CI often is.
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=os.getuid() != 0)
        yield browser
        browser.close()
