"""Labs of these tests live apart from those of the person who runs them."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def apart(own_home: Path) -> Path:
    return own_home
