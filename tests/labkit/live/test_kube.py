"""`labkit.kube` against a real API server: what it applies, what it refuses, and in which words."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from labkit.errors import BadInput, LabError, NotOurs, Refused, Unreachable, WaitTimeout
from labkit.evidence.reads import read
from labkit.kube import Kube, Which
from localcluster.embedded.provider import Embedded

pytestmark = pytest.mark.embedded

MANIFESTS = Path(__file__).parents[3] / "manifests"
DEPLOYMENT = MANIFESTS / "base" / "server" / "deployment.yaml"
START = MANIFESTS / "00-start" / "refused"
PORTS = "          ports:"
INDENT_LESS = "It belongs under spec.template.spec: indent it less"


def config_map(name: str, *, value: str = "1") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: '{value}'}}\n"


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = DEPLOYMENT.read_text()
    assert old in text
    file = tmp_path / "deployment.yaml"
    file.write_text(text.replace(old, new, 1))
    return file


def verbs(kube: Kube, path: Path) -> list[str]:
    return [r.verb for r in kube.apply(path).results]


def test_apply_says_what_it_did(namespace: Kube, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(config_map("x") + "---\n" + config_map("y"))
    assert verbs(namespace, file) == ["created", "created"]
    assert verbs(namespace, file) == ["unchanged", "unchanged"]
    file.write_text(config_map("x", value="2"))
    assert repr(namespace.apply(file)) == "configmap/x configured"
    assert namespace.object("cm/x").at("data.a") == "2"
    assert namespace.delete(file, "cm/y", "cm/nobody") == ["configmap/x", "configmap/y"]


def test_all_or_nothing(namespace: Kube, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(config_map("good"))
    (tmp_path / "b.yaml").write_text(config_map("bad").replace("\ndata:", "\ndate:"))
    with pytest.raises(Refused):
        namespace.apply(tmp_path)
    namespace.until("cm/good gone", seconds=1)


def test_a_namespace_and_what_is_in_it_in_one_file(cluster: Embedded, tmp_path: Path) -> None:
    name = f"t-{uuid.uuid4().hex[:8]}"
    kube = Kube(cluster.kubeconfig(), namespace=name)
    file = tmp_path / "x.yaml"
    head = (
        f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{labkit.dev/managed: 'true'}}}}"
    )
    file.write_text(config_map("x").replace("name: x", f"name: x, namespace: {name}") + "---\n" + head)
    try:
        assert verbs(kube, file) == ["created", "created"]
    finally:
        kube.delete_namespace(wait=False)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("terminationGracePeriodSeconds", "terminationGracePeriodSecond", "`terminationGracePeriodSeconds`"),
        ("imagePullSecrets:", "imagePullSecret:", "did you mean `imagePullSecrets`"),
        ("replicas: 2", 'replicas: "two"', "expected numeric"),
        ("replicas: 2", "replicas: 2s", "a unit or a word"),
        (PORTS, f"          terminationGracePeriodSeconds: 9\n{PORTS}", INDENT_LESS),
        ("apps/v1", "v1", "Deployment lives in apps/v1"),
        ("kind: Deployment", "kind: Deploymet", "Did you mean 'Deployment'"),
        ("app: llm-model\n  strategy", "app: other\n  strategy", "does not match template `labels`"),
    ],
)  # fmt: skip
def test_a_typo_is_refused_with_its_place(
    namespace: Kube, tmp_path: Path, old: str, new: str, words: str
) -> None:
    with pytest.raises(LabError, match=words.replace("(", r"\(")):
        namespace.apply(changed(tmp_path, old, new))
    namespace.until("deployment/llm-inference-service gone", seconds=1)


def test_the_line_of_the_mistake_is_named(namespace: Kube, tmp_path: Path) -> None:
    file = changed(tmp_path, "imagePullSecrets:", "imagePullSecret:")
    line = 1 + file.read_text().splitlines().index("      imagePullSecret:")
    with pytest.raises(Refused, match=f"deployment.yaml:{line} "):
        namespace.apply(file)


def test_the_line_of_a_number_with_decimals_is_named(namespace: Kube, tmp_path: Path) -> None:
    file = changed(tmp_path, "replicas: 2", "replicas: 2.5")
    line = 1 + file.read_text().splitlines().index("  replicas: 2.5")
    with pytest.raises(Refused, match=f"deployment.yaml:{line} ") as refused:
        namespace.apply(file)
    assert refused.value.fix == "Round it."


@pytest.mark.parametrize(
    ("file", "server", "ours"),
    [
        ("half-a-gpu.yaml", "must be an integer", "whole units"),
        ("request-is-not-limit.yaml", "must be equal to nvidia.com/gpu limit of 2", "must be the same"),
        ("typo.yaml", "field not declared in schema", "did you mean `resources`"),
    ],
)
def test_the_refusals_of_the_first_notebook(namespace: Kube, file: str, server: str, ours: str) -> None:
    with pytest.raises(Refused) as refused:
        namespace.apply(START / file)
    assert server in refused.value.what
    assert ours in str(refused.value)


def test_a_wrong_pod_before_the_right_one_is_no_dead_end(namespace: Kube, tmp_path: Path) -> None:
    shipped = MANIFESTS / "00-start" / "exercises" / "coffee.yaml"
    mended = tmp_path / "coffee.yaml"
    mended.write_text(shipped.read_text().replace("limits: {}", "limits: {example.com/coffee: 2}"))
    namespace.apply(shipped)
    with pytest.raises(Refused, match="Your file changes spec") as refused:
        namespace.apply(mended)
    line = 1 + mended.read_text().splitlines().index("        limits: {example.com/coffee: 2}")
    assert f"coffee.yaml:{line} " in refused.value.what
    assert "@@" not in str(refused.value)
    assert "@@" in refused.value.details
    assert 'lab.delete("pod/coffee"); lab.until("pod/coffee gone")' in refused.value.fix
    namespace.delete("pod/coffee")
    namespace.until("pod/coffee gone", seconds=20)
    namespace.apply(mended)


def test_every_solution_and_overlay_is_accepted(namespace: Kube) -> None:
    for overlay in ("embedded", "kind", "gpu"):
        namespace.kubectl(
            "apply", "--server-side", "--dry-run=server", "-k", MANIFESTS / "overlays" / overlay
        )
    every = sorted(MANIFESTS.glob("[0-9]*/solutions/*.yaml"))
    # KEDA and the gateway are optional parts, whose kinds this lab lacks: their own tests and notebooks apply
    # these files, and 10's check reads its one.
    kinds = ("apiVersion: keda.sh/", "apiVersion: inference.networking.")
    optional = [file for file in every if any(kind in file.read_text() for kind in kinds)]
    assert {file.parts[-3] for file in optional} == {"10-production", "11-keda", "12-gateway"}
    solutions = [f"--filename={file}" for file in every if file not in optional]
    assert len(solutions) > 20
    namespace.kubectl("apply", "--server-side", "--dry-run=server", *solutions)


def test_pod_security_is_enforced_and_is_no_noise(namespace: Kube) -> None:
    lesson = namespace.apply(MANIFESTS / "02-deploy" / "lesson.yaml")
    assert "Warning" not in repr(lesson)
    with pytest.raises(Refused, match="violates PodSecurity"):
        namespace.kubectl("run", "x", "--image=x", '--overrides={"spec":{"hostNetwork":true}}')


def test_a_field_that_the_hpa_looks_after_is_not_taken(namespace: Kube, tmp_path: Path) -> None:
    namespace.apply(DEPLOYMENT)
    hpa = tmp_path / "hpa.yaml"
    hpa.write_text((MANIFESTS / "base" / "hpa.yaml").read_text().replace("minReplicas: 2", "minReplicas: 3"))
    namespace.apply(hpa)
    namespace.until("deployment/llm-inference-service desired=3", seconds=20)
    with pytest.raises(Refused, match="only one manager can own it") as refused:
        namespace.apply(DEPLOYMENT)
    assert refused.value.reason == "Conflict"
    assert namespace.object("deployment/llm-inference-service").at("spec.replicas") == 3


def test_what_a_person_set_with_kubectl_is_taken_over_and_told(namespace: Kube) -> None:
    namespace.apply(DEPLOYMENT)
    namespace.scale("deployment/llm-inference-service", replicas=1)
    assert "took over fields that kubectl-scale had set" in repr(namespace.apply(DEPLOYMENT))
    assert namespace.object("deployment/llm-inference-service").at("spec.replicas") == 2


def test_get_prints_what_kubectl_prints(namespace: Kube) -> None:
    namespace.apply(MANIFESTS / "base" / "server")
    table = namespace.get("deploy")
    assert table.columns[:4] == ("Name", "Ready", "Up-to-date", "Available")
    assert repr(table).splitlines()[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert repr(namespace.get("cronjobs")) == f"No resources found in {namespace.namespace} namespace."
    assert [o.name for o in namespace.get("svc").objects] == ["llm-inference-service"]


def test_watch_shows_what_is_there_and_then_what_changes(namespace: Kube, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(config_map("x"))
    namespace.apply(file)
    seen = []
    for change in namespace.watch("cm", seconds=20, which=Which(selector=None)):
        if change.obj.name == "x":
            seen.append(change.type)
            if change.type == "ADDED":
                namespace.delete("cm/x")
            else:
                break
    assert seen == ["ADDED", "DELETED"]


def test_a_watch_ends_at_its_deadline(namespace: Kube) -> None:
    assert [c.type for c in namespace.watch("cronjobs", seconds=0.3)] == []


def test_waiting_in_vain_tells_what_was_seen_and_what_went_wrong(namespace: Kube, tmp_path: Path) -> None:
    too_many = tmp_path / "x.yaml"
    too_many.write_text(
        (START.parent / "solutions" / "one-gpu.yaml").read_text().replace("gpu: 1", "gpu: 99")
    )
    namespace.apply(too_many)
    with pytest.raises(WaitTimeout) as late:
        namespace.until("pod/one-gpu ready", seconds=3)
    assert "pod/one-gpu Pending" in str(late.value)
    assert "FailedScheduling" in str(late.value)
    assert "FailedScheduling" in namespace.kubectl("events", "--for=pod/one-gpu")


def test_unknown_words_are_refused_before_the_wait(namespace: Kube) -> None:
    with pytest.raises(BadInput, match="Did you mean 'pod'"):
        namespace.until("pood ready=3", seconds=60)
    with pytest.raises(BadInput, match="ready, running"):
        namespace.until("pods happy=3", seconds=60)


def test_a_namespace_of_somebody_else_is_left_alone(cluster: Embedded) -> None:
    stranger = Kube(cluster.kubeconfig(), namespace="kube-system")
    with pytest.raises(NotOurs):
        stranger.ensure_namespace()
    with pytest.raises(NotOurs):
        stranger.delete_namespace()
    assert stranger.object("namespace/kube-system").at("status.phase") == "Active"


def test_no_server_and_no_kubeconfig(tmp_path: Path, cluster: Embedded) -> None:
    with pytest.raises(BadInput, match="kubeconfig"):
        Kube(tmp_path / "none")
    nowhere = tmp_path / "kubeconfig"
    text = cluster.kubeconfig().read_text()
    kube = Kube(cluster.kubeconfig())
    nowhere.write_text(text.replace(kube.api.host, "https://127.0.0.1:9"))
    with pytest.raises(Unreachable, match="localcluster up"):
        Kube(nowhere).get("pods")


def test_what_a_check_reads_is_there_or_says_why_not(namespace: Kube) -> None:
    nodes = "/api/v1/nodes"
    found = read(
        namespace, {"one": "hpa/none", "every": "hpa", "path": nodes, "refused": "/apis/no.such.group"}
    )
    assert (found["one"], found["every"]) == (None, [])
    assert {node["metadata"]["name"] for node in found["path"]["items"]} >= {"cpu-node-1"}
    assert set(found["refused"]) == {"error"}
