"""The YAML of the course: the lesson's names and figures on every rung; exercises differ from solutions."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from labkit.errors import BadInput
from labkit.kube.documents import KUSTOMIZATION, load
from localcluster.data import DATA

ROOT = Path(__file__).resolve().parents[3]
MANIFESTS = ROOT / "manifests"
RUNGS = ("embedded", "kind", "gpu", "existing")
TOPICS = sorted(p.parent for p in MANIFESTS.glob("[0-9]*/exercises"))
PLAIN = sorted(
    f
    for f in MANIFESTS.glob("[0-9]*/**/*.yaml")
    if not any((f.parent / name).exists() for name in KUSTOMIZATION)
)
CONFIGS = [f for f in PLAIN if "kind: EndpointPickerConfig" in f.read_text()]
"""No objects: lab.gateway takes them."""
FOLDERS = sorted(f.parent for f in MANIFESTS.rglob("kustomization.yaml") if f.parent.name != "lab")


def rendered(folder: str) -> dict[str, dict[str, Any]]:
    return {d.obj["kind"]: d.obj for d in load(MANIFESTS / folder)}


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


def is_the_lessons(deployment: dict[str, Any]) -> None:
    """Row 2 of the lesson, but for the image's registry and tag."""
    assert deployment["metadata"]["name"] == "llm-inference-service"
    assert deployment["spec"]["selector"]["matchLabels"] == {"app": "llm-model"}
    assert deployment["spec"]["template"]["metadata"]["labels"]["app"] == "llm-model"
    server = container(deployment)
    assert server["name"] == "model-server"
    assert server["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert server["resources"]["requests"]["memory"] == "16Gi"
    assert server["resources"]["requests"]["cpu"] == "4"
    assert [p["containerPort"] for p in server["ports"]] == [8000]


def test_the_lessons_own_file_is_word_for_word() -> None:
    (document,) = load(MANIFESTS / "02-deploy" / "lesson.yaml")
    is_the_lessons(document.obj)
    assert document.obj["spec"]["replicas"] == 2
    assert container(document.obj)["image"] == "my-registry/llm-inference:latest"


@pytest.mark.parametrize(
    "folder", ["base/server", "overlays/embedded", "overlays/embedded/server", "overlays/gpu"]
)
def test_the_figures_stand_where_the_cluster_can_carry_them(folder: str) -> None:
    is_the_lessons(rendered(folder)["Deployment"])


def test_a_load_from_outside_has_a_way_into_a_cluster_of_somebody_elses() -> None:
    assert rendered("overlays/existing")["Service"]["spec"]["type"] == "LoadBalancer"


def test_two_replicas_until_an_autoscaler_owns_the_number() -> None:
    assert rendered("base/server")["Deployment"]["spec"]["replicas"] == 2
    assert "replicas" not in rendered("base")["Deployment"]["spec"]


@pytest.mark.parametrize("rung", RUNGS)
def test_the_hpa_is_the_lessons_on_every_rung(rung: str) -> None:
    hpa = rendered(f"overlays/{rung}")["HorizontalPodAutoscaler"]
    assert (hpa["apiVersion"], hpa["metadata"]["name"]) == ("autoscaling/v2", "llm-hpa")
    assert hpa["spec"]["scaleTargetRef"]["name"] == "llm-inference-service"
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (2, 10)
    assert hpa["spec"]["metrics"] == [
        {
            "type": "Pods",
            "pods": {
                "metric": {"name": "vllm_request_queue_size"},
                "target": {"type": "AverageValue", "averageValue": "5"},
            },
        }
    ]


@pytest.mark.parametrize("rung", RUNGS)
def test_no_rung_uses_a_tag_that_moves(rung: str) -> None:
    image = container(rendered(f"overlays/{rung}")["Deployment"])["image"]
    assert re.search(r":v?\d", image) or "@sha256:" in image
    assert not image.startswith("my-registry/")


@pytest.mark.parametrize("rung", RUNGS)
def test_a_gpu_is_asked_for_and_limited_alike(rung: str) -> None:
    resources = container(rendered(f"overlays/{rung}")["Deployment"])["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == 1


@pytest.mark.parametrize("rung", RUNGS)
def test_what_production_adds_is_there(rung: str) -> None:
    objects = rendered(f"overlays/{rung}")
    server = container(objects["Deployment"])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["httpGet"]["path"] == "/health"
    assert server["lifecycle"]["preStop"]
    spec = objects["Deployment"]["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > 30 + server["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["imagePullSecrets"]
    selector = objects["Deployment"]["spec"]["selector"]
    assert objects["PodDisruptionBudget"]["spec"]["selector"] == selector
    assert objects["Service"]["spec"]["selector"] == selector["matchLabels"]


def test_vllm_takes_the_place_of_the_labs_server_and_nothing_else_changes() -> None:
    ours = container(rendered("base")["Deployment"])
    vllm = container(rendered("overlays/gpu")["Deployment"])
    model, *flags = vllm["args"]
    assert f"--model={model}" in ours["args"]
    assert set(ours["args"]) - {f"--model={model}"} <= set(flags)
    assert any(flag.startswith("--max-model-len=") for flag in flags), (
        "or a 24 GB card can't hold its KV cache"
    )
    for same in ("name", "ports", "resources", "readinessProbe", "livenessProbe", "lifecycle"):
        assert vllm[same] == ours[same]
    assert rendered("overlays/gpu")["Service"] == rendered("base")["Service"]
    annotations = rendered("overlays/gpu")["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"


def test_the_disruption_budget_lets_a_drain_go_on() -> None:
    assert rendered("base")["PodDisruptionBudget"]["spec"]["maxUnavailable"] >= 1


def test_rolling_variants_add_one_setting_each() -> None:
    variants = sorted(p.name for p in (MANIFESTS / "02-deploy" / "rolling").iterdir() if p.name[0].isdigit())
    settings = [_settings(rendered(f"02-deploy/rolling/{v}")["Deployment"]) for v in variants]
    assert settings == [
        set(),
        {"readiness"},
        {"readiness", "preStop"},
        {"readiness", "preStop", "grace"},
    ]


def _settings(deployment: dict[str, Any]) -> set[str]:
    spec, server = deployment["spec"]["template"]["spec"], container(deployment)
    there = {
        "readiness": "readinessProbe" in server,
        "preStop": "preStop" in server.get("lifecycle", {}),
        "grace": "terminationGracePeriodSeconds" in spec,
    }
    return {name for name, is_there in there.items() if is_there}


@pytest.mark.parametrize("topic", TOPICS, ids=lambda p: p.name)
def test_every_exercise_has_a_solution_that_differs(topic: Path) -> None:
    exercises = sorted((topic / "exercises").glob("*.yaml"))
    assert exercises
    for exercise in exercises:
        solution = topic / "solutions" / exercise.name
        assert told(exercise) != told(solution)


def told(file: Path) -> list[Any]:
    return list(yaml.safe_load_all(file.read_text())) if file in CONFIGS else [d.obj for d in load(file)]


@pytest.mark.parametrize("file", PLAIN, ids=lambda p: str(p.relative_to(MANIFESTS)))
def test_every_file_says_first_what_it_is_about(file: Path) -> None:
    assert file.read_text().startswith("# ")
    assert told(file)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: str(p.relative_to(MANIFESTS)))
def test_every_kustomization_renders(folder: Path) -> None:
    assert load(folder)


@pytest.mark.parametrize(
    ("solution", "given"),
    [
        ("02-deploy/solutions/deployment.yaml", "02-deploy"),
        ("04-hpa-cpu/solutions/hpa.yaml", "04-hpa-cpu/faults/no-cpu-request"),
        ("09-placement/solutions/spread.yaml", "09-placement/two-on-each.yaml"),
    ],
)
def test_what_everybody_goes_on_with_is_the_solution(solution: str, given: str) -> None:
    (right,) = load(MANIFESTS / solution)
    assert [d.obj for d in load(MANIFESTS / given) if d.title == right.title] == [right.obj]


def test_the_placeholder_and_the_real_hpa_are_one_object() -> None:
    (cpu,) = load(MANIFESTS / "04-hpa-cpu" / "solutions" / "hpa.yaml")
    (queue,) = load(MANIFESTS / "05-hpa-queue" / "solutions" / "hpa.yaml")
    assert cpu.title == queue.title == "horizontalpodautoscaler/llm-hpa"
    assert cpu.obj["spec"]["metrics"][0]["resource"]["name"] == "cpu"


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("prometheus.yml", {"SCRAPE", "KUBECONFIG", "CA_FILE", "CERT_FILE", "KEY_FILE", "TARGETS"}),
        ("prometheus-web.yml", {"CA_FILE", "CERT_FILE", "KEY_FILE"}),
        ("adapter-rules.yaml", {"WINDOW", "CPU_WINDOW"}),
        (
            "kind.yaml",
            {
                "NODE_PORTS",
                "APISERVER_ARGS",
                "CONTROLLER_ARGS",
                "NODE_STATUS",
                "POD_SYNC",
                "CERTS",
                "AUDIT",
                "SCHEDULER",
            },
        ),
        ("kind/prometheus.yml", {"SCRAPE"}),
        ("kind/prometheus.yaml", {"PROMETHEUS_ARGS", "NODE_PORT"}),
        ("kind/adapter.yaml", {"ADAPTER_ARGS"}),
        ("kind/laptop.yaml", {"CLOCK"}),
        ("kind/registry-hosts.toml", {"REGISTRY"}),
        ("kind/kustomization.yaml", {"PROMETHEUS_TAG", "ADAPTER_TAG", "PLUGIN_TAG"}),
        ("bootstrap/10-namespaces.yaml", set()),
        ("bootstrap/20-adapter-address.yaml", {"ADAPTER_PORT"}),
        ("bootstrap/25-metrics-apis.yaml", {"ADAPTER_PORT", "CA_BUNDLE"}),
        ("bootstrap/30-rbac.yaml", set()),
    ],
)
def test_templates_take_the_variables_that_their_heads_name(name: str, variables: set[str]) -> None:
    text = (DATA / name).read_text()
    template = Template(text)
    assert template.is_valid()
    assert set(template.get_identifiers()) == variables
    assert all(re.search(rf"^#.*\b{v}\b", text, re.MULTILINE) for v in variables)
    values = {v: "- 1" if v.endswith("_ARGS") else "1" for v in variables}  # flags come as items of a list
    assert all(yaml.safe_load_all(template.substitute(values)))


def test_the_adapter_makes_the_lessons_name_out_of_vllms() -> None:
    text = (DATA / "adapter-rules.yaml").read_text()
    rules = yaml.safe_load(Template(text).substitute(WINDOW="4s", CPU_WINDOW="4s"))["rules"]
    (rule,) = [r for r in rules if r["name"]["as"] == "vllm_request_queue_size"]
    assert re.match(rule["name"]["matches"], "vllm:num_requests_waiting")


def test_a_line_of_a_field_can_be_told(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n    - name: a\n      imag: b\n"
    )
    (document,) = load(file)
    assert document.place("spec.containers[0].imag") == f"{file}:7 (pod/x)"
    assert document.place("spec.nonsense") == f"{file}:4 (pod/x)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a:\n\tb: 1\n", "line 2"),
        ("kind: Pod\nmetadata: {name: x}\n", "apiVersion is missing"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {labels: {}}\n", "metadata.name is missing"),
        ("- 1\n", "not a Kubernetes object"),
        ("", "holds no Kubernetes object"),
        ("kind: Pod\nspec: {}\nspec:\n  a: 1\n", "x.yaml:3: `spec` appears twice, first in line 2"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=words):
        load(file)


@pytest.mark.parametrize("name", ["07-cold-starts/prepull", "07-cold-starts/spare", "08-waste/mig"])
def test_what_everybody_goes_on_with_is_what_the_exercise_asked_for(name: str) -> None:
    topic, _, file = name.partition("/")
    ours, solved = (load(MANIFESTS / topic / place) for place in (f"{file}.yaml", f"solutions/{file}.yaml"))
    assert [document.obj for document in ours] == [document.obj for document in solved]
