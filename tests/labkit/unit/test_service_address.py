"""Where a Service answers, and what is said where there is none: a section that was entered in its middle."""

import json
from pathlib import Path

import pytest

from labkit.errors import ProviderError
from localcluster.api.objects import KubeObject
from localcluster.embedded.provider import Embedded
from localcluster.layout import Ports
from localcluster.provider import Spec

PORTS = Ports(1, 2, 3, 4, 5, 6)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Embedded:
    """A lab without isolation: its balancer's file says where Services answer."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    (tmp_path / "lab").mkdir()
    made = Embedded("lab")
    made.layout.save(Spec(name="lab", isolation="none"), PORTS)
    return made


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


def pod(ip: str, **spec: object) -> KubeObject:
    return KubeObject({"metadata": {"name": "web"}, "spec": spec, "status": {"podIP": ip} if ip else {}})


SERVER = {"name": "server", "ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 8000}]}


@pytest.mark.parametrize(
    "nowhere", [pod("", containers=[SERVER]), pod("10.244.1.2", containers=[{"name": "server"}])]
)
def test_a_pod_without_an_address_or_a_port_has_no_door(lab: Embedded, nowhere: KubeObject) -> None:
    lab.layout.save(Spec(name="lab"), PORTS)
    assert lab.pod_address(nowhere) == ""


def test_without_the_edge_it_is_said_how_to_start_it(lab: Embedded) -> None:
    lab.layout.save(Spec(name="lab"), PORTS)
    with pytest.raises(ProviderError, match=r"opens no door to 10\.244\.1\.2:8000") as told:
        lab.pod_address(pod("10.244.1.2", containers=[SERVER]))
    assert "edge" in told.value.cause
    assert told.value.fix.startswith("`localcluster up --name lab`")


def test_without_isolation_the_pod_itself_says_where_it_is(lab: Embedded) -> None:
    told = {"metadata": {"annotations": {"labkit.dev/address": "127.0.0.1:24711"}}, "spec": {}}
    assert lab.pod_address(KubeObject(told)) == "127.0.0.1:24711"
    assert lab.pod_address(pod("10.244.1.2", containers=[SERVER])) == ""
