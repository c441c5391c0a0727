"""The learner's handle on a real cluster: reset, refusals, tables, checks, waits."""

from pathlib import Path
from typing import Any

import pytest

from labkit import pull_secret, reset
from labkit.errors import BadInput, NotOurs, Refused, WaitTimeout
from labkit.kube.client import Kube
from labkit.lab import NAMESPACE, Lab, same_clock
from labkit.view.notebook import shown_to
from localcluster.embedded.provider import Embedded

ROOT = Path(__file__).parents[3]
PAUSE = """
apiVersion: v1
kind: Pod
metadata: {name: left-over}
spec:
  nodeName: nowhere
  containers: [{name: c, image: "registry.lab:5000/none:1"}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: left-over}
"""

pytestmark = pytest.mark.embedded


def test_reset_leaves_nothing_of_an_earlier_run(lab: Lab, tmp_path: Path) -> None:
    manifest = tmp_path / "left-over.yaml"
    manifest.write_text(PAUSE)
    lab.apply(manifest)
    said: list[str] = []
    reset.clear(lab.kube, said.append)
    assert said == ["deleting 1 pods of an earlier run"]
    assert not lab.kube.objects("pods")
    assert [c.name for c in lab.kube.objects("configmaps") if c.name != "kube-root-ca.crt"] == []


def test_files_of_the_course_are_applied_and_deleted_from_the_folder_of_the_notebooks(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT / "notebooks")  # where JupyterLab runs them
    hpa = "manifests/base/hpa.yaml"
    lab.apply(hpa)
    lab.delete(hpa)
    assert not lab.kube.objects("hpa")
    lab.kube.apply(hpa)
    assert "llm-hpa" in lab.kube.kubectl("get", "-f", hpa)
    assert lab.kube.delete(hpa) == ["horizontalpodautoscaler/llm-hpa"]


def test_reset_puts_the_registry_login_where_pods_look_for_it(lab: Lab, cluster: Embedded) -> None:
    pull_secret.make(lab.kube, cluster.registry(), name=reset.PULL_SECRET)
    secret = lab.get("secret/registry-login")
    assert secret["type"] == "kubernetes.io/dockerconfigjson"


def test_reset_touches_no_namespace_of_somebody_else(cluster: Embedded) -> None:
    foreign = Kube(cluster.kubeconfig(), namespace="default")
    with pytest.raises(NotOurs):
        reset.clear(foreign, print)


def test_nodes_are_shown_with_their_gpus(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.show("nodes")
    said = capsys.readouterr().out
    assert "NVIDIA-L4" in said
    assert "23034 MiB" in said


def test_gpus_are_watched_until_a_pod_has_gone_and_the_end_is_told(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.until_metric("count(DCGM_FI_DEV_FB_USED) >= 12", seconds=60)
    lab.watch("gpus", "pods", until="pods app=llm-model total=0", seconds=20)
    said = capsys.readouterr().out
    assert "gpu-node-3" in said
    assert "GPU 3" in said
    assert "until pods app=llm-model total=0" in said


def test_half_a_gpu_is_refused_and_the_notebook_goes_on(lab: Lab) -> None:
    with lab.refused("00.half-gpu", because="must be an integer") as refusal:
        lab.apply("manifests/00-start/refused/half-a-gpu.yaml")
    assert refusal.verdict().passed, refusal.message


def test_a_check_that_finds_nothing_fails_and_does_not_raise(lab: Lab) -> None:
    verdict = lab.check("05.hpa")
    assert verdict.state == "failed"
    assert "there is no hpa/llm-hpa" in verdict.observed


def test_a_check_passes_on_the_lessons_object(lab: Lab) -> None:
    lab.apply("manifests/base/hpa.yaml")
    assert lab.check("05.hpa").passed


def test_a_cluster_that_does_not_answer_is_inconclusive(lab: Lab, tmp_path: Path) -> None:
    text = lab.kube.kubeconfig.read_text().replace(lab.kube.api.host, "https://127.0.0.1:1")
    (tmp_path / "kubeconfig").write_text(text)
    away = Lab(lab.session, Kube(tmp_path / "kubeconfig", namespace=NAMESPACE, clock=15))
    assert away.check("05.hpa").state == "inconclusive"


def test_a_wait_in_vain_says_what_it_saw(lab: Lab) -> None:
    with pytest.raises(WaitTimeout, match="llm-inference-service"):
        lab.until("deployment/llm-inference-service available", seconds=1)


def test_another_clock_is_refused(cluster: Embedded) -> None:
    with pytest.raises(BadInput, match="CLOCK=1"):
        same_clock(cluster.spec(), 1)


def test_kubectl_says_what_it_says_in_a_terminal(lab: Lab) -> None:
    shown: list[Any] = []
    with shown_to(shown.append):
        lab.kubectl("get configmaps", grep="kube-root-ca.crt")
        lab.kubectl("get cronjobs")
    assert [str(one).split()[0] for one in shown] == ["kube-root-ca.crt", "No"]
    with pytest.raises(Refused, match='"none" not found'):
        lab.kubectl("get deployment/none")
    with pytest.raises(BadInput, match="can't be read"):
        lab.kubectl("get 'pods")


def test_get_gives_one_object_or_all_of_a_kind_or_what_a_path_has(lab: Lab) -> None:
    assert lab.get("configmap/kube-root-ca.crt").name == "kube-root-ca.crt"
    assert "gpu-node-1" in {node.name for node in lab.get("nodes", selector="nvidia.com/gpu.present")}
    assert lab.get("/apis/apps/v1")["kind"] == "APIResourceList"
