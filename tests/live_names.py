"""What holds in a folder whose tests start labs of their own: its conftest imports it."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def apart(own_home: Path) -> Path:
    return own_home
