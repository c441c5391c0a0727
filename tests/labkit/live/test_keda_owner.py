"""An HPA that KEDA took over: `apply` leaves it to its owner, and takes it back once it is given back."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import Refused
from labkit.kube import Kube
from localcluster import polling
from tests.cluster.live.test_keda import apply, deployment, pytestmark, scaled, with_keda

__all__ = ["pytestmark", "with_keda"]

HPA = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: mine}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: sleeper}
  minReplicas: 1
  maxReplicas: 4
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}
"""


def test_an_hpa_is_taken_back_only_after_keda_gave_it_up(with_keda: Kube, tmp_path: Path) -> None:
    (tmp_path / "hpa.yaml").write_text(HPA)
    deployment(with_keda)
    with_keda.apply(tmp_path / "hpa.yaml")
    uid = with_keda.object("hpa/mine").at("metadata.uid")
    transfer = {"scaledobject.keda.sh/transfer-hpa-ownership": "true"}
    named = {"horizontalPodAutoscalerConfig": {"name": "mine"}}
    apply(with_keda, scaled("vector(1)", annotations=transfer, minReplicaCount=1, advanced=named))

    def kind() -> str:
        return str(with_keda.object("hpa/mine").at("spec.metrics")[0]["type"])

    polling.until(lambda: kind() == "External", "KEDA to take over the HPA", seconds=60)
    with pytest.raises(Refused, match="keda-operator") as told:
        with_keda.apply(tmp_path / "hpa.yaml")
    assert "A ScaledObject owns this object" in told.value.cause
    assert "--cascade=orphan" in told.value.fix
    with_keda.kubectl("delete", "scaledobject/sleeper", "--cascade=orphan")
    assert "took over fields that keda-operator had set" in repr(with_keda.apply(tmp_path / "hpa.yaml"))
    assert (kind(), with_keda.object("hpa/mine").at("metadata.uid")) == ("Resource", uid)
