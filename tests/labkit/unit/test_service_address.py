"""Where a Service answers, and what is said where there is none: a section that was entered in its middle."""

import json
from pathlib import Path

import pytest

from labkit.errors import ProviderError
from localcluster.embedded.provider import Embedded


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Embedded:
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    (tmp_path / "lab").mkdir()
    return Embedded("lab")


@pytest.mark.parametrize("services", [None, {}])
def test_where_no_service_is_there_the_cell_that_applies_one_is_missing(
    lab: Embedded, services: dict[str, str] | None
) -> None:
    if services is not None:
        (lab.layout.dir / "services.json").write_text(json.dumps(services))
    with pytest.raises(ProviderError) as told:
        lab.address("llm-lab", "llm-inference-service", 80)
    assert "run the cell that applies one" in told.value.fix


def test_where_others_are_there_they_are_named(lab: Embedded) -> None:
    (lab.layout.dir / "services.json").write_text(json.dumps({"llm-lab/web:80": "127.0.0.1:4711"}))
    assert lab.address("llm-lab", "web", 80) == "http://127.0.0.1:4711"
    with pytest.raises(ProviderError, match="llm-lab/wbe:80") as told:
        lab.address("llm-lab", "wbe", 80)
    assert "Known: llm-lab/web:80." in told.value.fix
