"""A publisher's objects are kept beside its program: as kubectl makes them of its module."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from localcluster.errors import ToolchainError
from localcluster.toolchain import objects, versions


def test_a_program_without_its_objects_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="came without its objects") as caught:
        objects.beside(tmp_path / "keda-operator")
    assert "LABKIT_BIN_DIR" in caught.value.fix


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / objects.FILE).write_text(json.dumps([{"kind": "Namespace"}]))
    assert objects.beside(tmp_path / "keda-operator") == [{"kind": "Namespace"}]


def test_other_objects_are_another_entry_of_the_cache() -> None:
    program = versions.pins().programs["keda-operator"]
    assert program.kustomization
    assert replace(program, kustomization="config/other").key() != program.key()
