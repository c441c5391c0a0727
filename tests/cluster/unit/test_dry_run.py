"""`labkit up --dry-run` is lesson material: its words are held by a golden file.

Renew it after a change that you meant: python -m labkit.cli up --dry-run > tests/golden/up-dry-run.txt
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from localcluster import spawn

GOLDEN = Path(__file__).parents[2] / "golden" / "up-dry-run.txt"


def test_the_start_up_reads_as_the_golden_transcript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    monkeypatch.delenv("LABKIT_LAB", raising=False)
    said = spawn.run([sys.executable, "-m", "labkit.cli", "up", "--dry-run"])
    assert said.returncode == 0, said.stderr
    steady = said.stdout.replace(sys.executable, "python").replace(str(tmp_path), "~/labs")
    assert steady == GOLDEN.read_text()
    assert list(tmp_path.iterdir()) == []
