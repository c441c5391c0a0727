"""What learners read about the network is true of the one that pods have: with addresses of their own."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
READ = sorted(
    path
    for folder, pattern in (
        (".", "*.md"),
        ("docs", "*.md"),
        ("notebooks", "*.ipynb"),
        ("manifests", "**/*.yaml"),
        ("manifests", "**/*.json"),
    )
    for path in (ROOT / folder).glob(pattern)
)
PAST = re.compile(r"labkit\.dev/(address|ports)\b|(?<!test_)balancer\.py")


@pytest.mark.parametrize("path", READ, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_speaks_of_ports_of_this_machine(path: Path) -> None:
    assert not PAST.findall(path.read_text())


def test_no_manifest_tells_a_server_its_port() -> None:
    files = [path for path in READ if path.suffix == ".yaml"]
    assert len(files) > 100
    told = [str(path) for path in files if re.search(r"name: PORT\b|--port=", path.read_text())]
    assert told == []


@pytest.mark.parametrize("part", ["lab", "server", "."])
def test_embedded_and_kind_get_the_same_objects(part: str) -> None:
    embedded, kind = (
        yaml.safe_load((ROOT / "manifests" / "overlays" / name / part / "kustomization.yaml").read_text())
        for name in ("embedded", "kind")
    )
    assert embedded == kind
