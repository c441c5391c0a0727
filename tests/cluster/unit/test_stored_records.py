"""Every record of a cluster has the form that `asdict` gave it in earlier versions, and is read back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from localcluster import stored
from localcluster.embedded.component import Component, Ready
from localcluster.errors import ProviderError
from localcluster.gpus.sharing import WHOLE, Sharing, Slice
from localcluster.images.layers import Layer
from localcluster.images.manifest import LAYER_GZIP, Descriptor
from localcluster.kind.settings import Settings
from localcluster.layout import Layout, Ports
from localcluster.node.config import AgentConfig, NodeSpec, Registry
from localcluster.node.pod.records import PodRecord, RunRecord
from localcluster.provider import Spec
from localcluster.spawn import Proc
from localcluster.toolchain.cache import Stamp
from localcluster.toolchain.lock import Holder

CERTS = (Path("/lab/ca.crt"), Path("/lab/a.crt"), Path("/lab/a.key"))
NODE = NodeSpec("gpu-node-1", 1, gpus=4, labels={"a": "b"}, taints=[{"key": "x", "effect": "NoSchedule"}])
AGENT = AgentConfig(
    "/lab", 15.0, (NODE,), (Registry("registry.lab:5000", "https://a", "/ca"),), "/cache", off=("gpu-node-1",)
)
POD = PodRecord(
    "uid", "default", "web", "gpu-node-1", "10.244.1.2", 1.5, {"c": {"80": "a:1"}}, {"c": ["GPU-1"]}
)
RECORDS: list[Any] = [
    AGENT,
    POD,
    RunRecord("id", "web:1", "web@sha256:1", 0, 1.5, env={"A": "ü"}, exit_code=137, reason="OOMKilled"),
    Layer(Descriptor(LAYER_GZIP, "sha256:1", 3, {"os": "linux"}), "sha256:2", 4),
    Proc(12, 1.25, ("sleep", "9")),
    Component(
        "etcd", ("etcd", "-v"), ready=Ready("https://a", certs=CERTS), env={"A": "1"}, cwd=Path("/lab")
    ),
    Component("agent", ("python",), needs=("etcd",), ready=Ready(file=Path("/lab/ready"))),
    Settings(Spec(name="a", keep=True), 5000, (1, 2), complete=True),
    Sharing(replicas=4),
    Sharing(mig=Slice("1g.5gb", "A100", 4864, 7)),
    Stamp("abc", 3, 10**18),
    Holder(1, 2.5, "etcd"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_of_an_earlier_version_is_read_and_written_the_same(record: Any) -> None:
    earlier = json.dumps(asdict(record), default=str)
    assert json.dumps(stored.plain(record)) == earlier
    assert stored.made(type(record), json.loads(earlier)) == record


def test_an_agent_reads_a_configuration_from_before_nodes_could_be_turned_off(tmp_path: Path) -> None:
    AGENT.save(tmp_path / "node.json")
    data = json.loads((tmp_path / "node.json").read_text())
    del data["off"]
    (tmp_path / "node.json").write_text(json.dumps(data))
    assert AgentConfig.load(tmp_path / "node.json").off == ()


def test_a_pod_whose_record_is_of_another_version_is_a_new_pod(tmp_path: Path) -> None:
    POD.save(tmp_path)
    assert PodRecord.load(tmp_path) == POD
    for text in ('{"uid": 1}', json.dumps({**asdict(POD), "later": 1}), "{"):
        (tmp_path / "pod.json").write_text(text)
        assert PodRecord.load(tmp_path) is None


def test_a_process_is_found_even_if_a_later_version_recorded_more(tmp_path: Path) -> None:
    """Whoever does not find it can't end it."""
    proc = Proc(12, 1.25, ("sleep", "9"))
    (tmp_path / "proc.json").write_text(json.dumps({**asdict(proc), "later": 1}))
    assert Proc.load(tmp_path / "proc.json") == proc


def test_a_damaged_division_of_gpus_is_none(tmp_path: Path) -> None:
    for text in ("", "[]", '{"replicas": 2, "mig": {"profile": "1g"}}'):
        (tmp_path / "sharing.json").write_text(text)
        assert Sharing.load(tmp_path / "sharing.json") == WHOLE


def test_a_kind_lab_of_a_later_version_is_read_and_half_a_record_is_not(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "a.kind")
    settings = Settings(Spec(name="a"), 5000, (1, 2), complete=True)
    settings.save(layout)
    data = json.loads(layout.config.read_text())
    layout.config.write_text(json.dumps({**data, "spec": {**data["spec"], "later": 1}}))
    assert Settings.load(layout) == settings
    for missing in data:
        layout.config.write_text(json.dumps({key: value for key, value in data.items() if key != missing}))
        with pytest.raises(ProviderError, match=f"does not match this version: .*`{missing}`"):
            Settings.load(layout)


def test_a_lab_is_read_back(tmp_path: Path) -> None:
    layout, ports = Layout(tmp_path / "lab"), Ports(1, 2, 3, 4, 5, 6)
    layout.save(Spec(), ports)
    assert json.loads(layout.config.read_text()) == {"spec": asdict(Spec()), "ports": asdict(ports)}
    assert layout.load() == (Spec(), ports)
