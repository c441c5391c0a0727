"""With which arguments a verb may be asked for: those of the course, on the student's own copy of it."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import BadInput
from labkit.load import Arrivals, Closed, Open
from labkit_grading.release.release import release
from labkit_grading.submissions.released import assignment
from labkit_grading.verbs import permits
from labkit_grading.verbs.confined import Confined
from labkit_grading.verbs.contexts import BUILT, THE_COURSES
from labkit_grading.verbs.table import allowed
from tests.grading.unit.grading_class import NOTEBOOKS, ROOT, called

SERVER, SETTINGS = "cluster/images/model-server", "model_server/settings.py"


FULL = "manifests/07-cold-starts/images/full"


MINE = "registry.lab:5000/me/llm-inference:2"


APIS = "apiservice/v1beta2.custom.metrics.k8s.io"
LED_BACK = '{"spec": {"service": {"name": "prometheus-adapter"}}}'


@pytest.fixture(scope="module")
def edition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(ROOT, tmp_path_factory.mktemp("edition") / "course").folder


@pytest.fixture
def confined(edition: Path) -> Confined:
    return Confined(edition, edition)


@pytest.mark.parametrize(
    ("line", "spreads"),
    [
        ("cordon gpu-node-1", True),
        ("label node gpu-node-1 a=b", True),
        ("taint nodes --all a=b:NoExecute", True),
        ("delete secret team-login --namespace default --ignore-not-found", True),
        ("get pods", False),
        ("rollout undo deployment/x", False),
        ("logs tenant-6d5-x --previous --tail=4", False),
        ("events --for=hpa/llm-hpa", False),
    ],
)
def test_what_kubectl_does_beyond_the_namespace_is_known(
    confined: Confined,
    line: str,
    spreads: bool,  # noqa: FBT001 - what is expected
) -> None:
    assert allowed("kubectl", confined, [line], {"grep": "x"}) == ([line], {"grep": "x"})
    assert confined.spread is spreads


def dockerfile(text: str, *, folder: str = FULL) -> dict[str, Any]:
    return {"folder": folder, "changed": {"Dockerfile": text}}


WRONG: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("images.build", ["/etc", MINE], {}),
    ("images.build", [{"folder": "/etc"}, MINE], {}),
    ("images.build", [{"folder": ["cluster"]}, MINE], {}),
    ("images.build", [{"folder": "manifests/../cluster/images/model-server"}, MINE], {}),
    ("images.build", [dockerfile("FROM scratch\nRUN cat /etc/passwd\n"), MINE], {}),
    ("images.build", [{"folder": SERVER, "changed": {"../../x": "1"}}, MINE], {}),
    ("images.build", [{"folder": SERVER, "changed": {"/etc/cron.d/x": "1"}}, MINE], {}),
    ("images.build", [{"folder": SERVER, "changed": {"requirements.txt": "evil"}}, MINE], {}),
    ("images.build", [{"folder": SERVER, "changed": {SETTINGS: "import os; os.system('id')"}}, MINE], {}),
    ("images.build", [{"folder": SERVER, "changed": {SETTINGS: "x" * 10**6}}, MINE], {}),
    ("images.build", [{"folder": SERVER}, THE_COURSES], {}),
    ("images.build", [{"folder": SERVER}, "docker.io/library/python:3.11"], {}),
    ("images.push", ["registry.lab:5000/other:1"], {}),
    ("images.push", [MINE], {"stamp": "mine"}),
    ("images.push", [THE_COURSES], {}),
    ("images.tag", ["private.example.com/secret:1", MINE], {}),
    ("images.tag", [MINE, THE_COURSES], {}),
    ("images.digest", ["private.example.com/secret:1"], {}),
    ("images.pull_secret", ["--all"], {}),
    ("images.pull_secret", ["x"], {"namespace": "kube-system"}),
    ("images.pull_secret", ["x"], {"kubeconfig": "/root/.kube/config"}),
    ("nodes.plug_in", ["../node"], {}),
    ("nodes.plug_in", ["gpu-node-9"], {"gpus": 10**9}),
    ("nodes.plug_in", ["gpu-node-9"], {"gpus": True}),
    ("nodes.plug_in", ["gpu-node-9"], {"labels": {"a": "b"}}),
    ("nodes.stop", ["etcd"], {}),
    ("nodes.stop", ["--all"], {}),
    ("nodes.start", [["gpu-node-1"]], {}),
    ("nodes.kwok", [10**6], {}),
    ("nodes.kwok", ["1000"], {}),
    ("manifest", ["/etc/passwd"], {}),
    ("manifest", ["manifests/base"], {}),
    ("trial", [99, "ramp"], {}),
    ("trial", ["/etc/passwd", "ramp"], {}),
    ("trial", [3, "ramp"], {"watch": True}),
    *(
        ("kubectl", [f"patch {target} --type=merge -p '{json.dumps(change)}'"], {})
        for target, change in (
            (APIS, {"spec": {"service": {"name": "mine", "namespace": "llm-lab"}}}),
            (APIS, {"spec": {"insecureSkipTLSVerify": True}}),
            (APIS, {"spec": {"service": {"name": "../x"}}}),
            (APIS, {"spec": {"service": {"name": ["mine"]}}}),
            (APIS, "text"),
            ("apiservice/v1.", {"spec": {"service": {"name": "mine"}}}),
            (f"pod/x {APIS}", {"spec": {"service": {"name": "mine"}}}),
        )
    ),
    ("kubectl", [f"patch {APIS} --type=json -p '[]'"], {}),
    ("kubectl", [f"patch {APIS} --type=merge -p 'no: json'"], {}),
    ("kubectl", ["apply -k /etc"], {}),
    ("kubectl", ["apply -k manifests/10-production/exercises/capstone"], {}),
    ("kubectl", ["apply -f manifests/base/hpa.yaml"], {}),
    ("kubectl", ["get pods"], {"stdin": "x"}),
    ("kubectl", ["get pods"], {"warnings": True}),
    ("kubectl", ["get pods 'and an open quote"], {}),
    ("kubectl", ["get pods\n--kubeconfig=/root/x"], {}),
    ("kubectl", ["get 'pods' --kubecon''fig=/root/x"], {}),
    ("kubectl", ["get pods -n kube-system"], {}),
    ("kubectl", [["get", "pods"]], {}),
    ("kubectl", [None], {}),
    ("kubectl", [""], {}),
    ("kubectl", ["logs ../../secrets"], {}),
    ("kubectl", ["logs x --container=other"], {}),
    ("kubectl", ["logs -f x"], {}),
    ("kubectl", ["logs x --tail=99999999"], {}),
    ("kubectl", ["events --for=secret/x"], {}),
    ("kubectl", ["events --for=pod/../x"], {}),
    ("kubectl", ["events --all-namespaces"], {}),
    ("kubectl", ["rollout status -f/etc/passwd"], {}),
    ("kubectl", ["rollout history --kubeconfig=/root/x"], {}),
    ("kubectl", ["scale deployment/../../other/deployments/x --replicas=0"], {}),
    ("faults.plant", ["manifests/05-hpa-queue/exercises/hpa.yaml"], {}),
    ("get", ["/logs/"], {}),
    ("get", ["/api/v1/secrets"], {}),
    ("get", ["/apis/metrics.k8s.io/../../logs/auth.log"], {}),
    ("get", ["/apis/custom.metrics.k8s.io/v1beta2"], {"path": "/logs/"}),
    ("get", ["secret/../../../kube-system/secrets/x"], {}),
    ("get", ["secret"], {"name": "../../kube-system/secrets/x"}),
    ("get", ["../../../logs"], {}),
    ("get", [], {"what": "/logs/"}),
    ("show", ["-f/etc/passwd"], {}),
    ("show", [], {"what": "--filename=/etc/passwd"}),
    ("show", ["pod/../../x"], {}),
    ("kube.object", ["secret/../../../kube-system/secrets/x"], {}),
    ("kube.object", ["secret"], {"name": "../../kube-system/secrets/x"}),
    ("kube.objects", ["../../../logs"], {}),
    ("faults.kill", ["pod/../../x"], {}),
    ("url", ["pod/../../x"], {}),
    ("follow", [], {"pod": "../x"}),
    ("watch", ["../x"], {"until": "pods total=0"}),
    ("record", [], {"deployment": "../x"}),
    ("why", [], {"hpa": "../x", "title": "Why?"}),
    ("doctor", [], {"hpa": "../../x"}),
    ("load", [Closed(users=1, seconds=60)], {"url": "http://example.com"}),
    ("load", [Closed(users=1, seconds=60)], {"clock": 1000}),
    ("load", [Closed(users=10**6, seconds=60)], {}),
    ("load", [Closed(users=((0, 1), (5, 10**6)), seconds=60)], {}),
    ("load", [Open(Arrivals(tuple(float(n) for n in range(20_001)), 60, "a flood"))], {}),
    ("load", ["anything"], {}),
    ("load", [Closed(users=1, seconds=60)], {"headers": {"x-gateway-destination-endpoint": "10.0.0.1:80"}}),
    ("load", [Closed(users=1, seconds=60)], {"headers": {"x-gateway-inference-objective": "a\r\nHost: b"}}),
    ("load", [Closed(users=1, seconds=60)], {"headers": "anything"}),
    ("gateway", ["/etc/passwd"], {}),
    ("gateway", ["manifests/../../picker.yaml"], {}),
    ("gateway", ["manifests/12-gateway/exercises"], {}),
    ("gateway", [], {"policy": "random"}),
    ("curl", ["http://169.254.169.254/"], {}),
]


@pytest.mark.parametrize(("verb", "args", "words"), WRONG, ids=lambda one: str(one)[:60])
def test_hostile_arguments_are_refused(
    confined: Confined, verb: str, args: list[Any], words: dict[str, Any]
) -> None:
    with pytest.raises((BadInput, ValueError)):  # the broker says of the second that it makes no sense
        allowed(verb, confined, args, words)


RIGHT: list[tuple[str, list[Any], dict[str, Any], bool]] = [
    ("load", [Closed(users=1, seconds=9)], {"headers": {"x-gateway-inference-objective": "chat"}}, False),
    ("gateway", [], {}, True),
    ("images.push", [MINE], {}, True),
    ("images.tag", [THE_COURSES, MINE], {}, False),
    ("images.digest", [MINE], {}, False),
    ("images.login", ["learner", "last-years-password"], {}, False),
    ("images.pull_secret", ["my-login"], {}, False),
    ("images.pull_secret", ["team-login"], {"namespace": "default"}, True),
    (
        "images.pull_secret",
        ["old-password"],
        {"password": "--from-file=/etc/passwd"},
        False,
    ),  # goes into a file
    ("nodes.plug_in", ["gpu-node-a100"], {"gpus": 1, "gpu_product": "NVIDIA-A100-SXM4-40GB"}, True),
    ("nodes.stop", ["gpu-node-2"], {}, True),
    ("nodes.start", ["gpu-node-2"], {}, True),
    ("nodes.kwok", [1000], {}, True),
    ("nodes.kwok", [0], {}, True),
    ("answering", [], {}, False),
    (
        "get",
        ["/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm-lab/pods/*/vllm_request_queue_size"],
        {},
        False,
    ),
    ("get", ["/apis/custom.metrics.k8s.io/v1beta2"], {}, False),
    ("get", ["nodes"], {"selector": "!nvidia.com/gpu.present"}, False),
    ("get", ["apiservice/v1beta1.metrics.k8s.io"], {}, False),
    ("show", ["pods"], {"selector": "app=llm-model"}, False),
    ("show", ["hpa/llm-hpa"], {}, False),
    ("kube.objects", ["apiservices"], {}, False),
    ("url", [], {"name": "llm-inference-service", "port": 80}, False),
    ("watch", ["hpa", "gpus"], {"until": "hpa/llm-hpa desired=2", "seconds": 60}, False),
    ("record", [], {"deployment": "on-queue", "hpa": "llm-hpa-queue"}, False),
    ("pace", ["app=thousand"], {}, False),
    ("trial", [3, "burst"], {}, False),
    ("kubectl", [f"patch {APIS} --type=merge -p '{LED_BACK}'"], {}, True),
]


@pytest.mark.parametrize(("verb", "args", "words", "spreads"), RIGHT, ids=lambda one: str(one)[:60])
def test_what_the_course_says_goes_through_as_it_is(
    confined: Confined,
    verb: str,
    args: list[Any],
    words: dict[str, Any],
    spreads: bool,  # noqa: FBT001 - what is expected
) -> None:
    assert allowed(verb, confined, args, words) == (args, words)
    assert confined.spread is spreads


def test_a_path_becomes_that_of_the_students_own_copy(confined: Confined, edition: Path) -> None:
    queue = "manifests/06-tuning/policies/cpu.yaml"
    assert allowed("trial", confined, [queue, "burst"], {}) == ([edition / queue, "burst"], {})
    keda = "manifests/10-production/exercises/keda.yaml"
    assert allowed("manifest", confined, [keda], {}) == ([edition / keda], {})
    server = "manifests/overlays/embedded/server"
    assert allowed("kubectl", confined, [f"apply -k {server}"], {})[0] == [f"apply -k {edition / server}"]


def test_loads_are_sent_to_the_labs_own_addresses_by_the_words_of_the_course(confined: Confined) -> None:
    confined.addresses.add("http://127.0.0.1:1234")
    shape, words = Closed(users=64, seconds=45), {"url": "http://127.0.0.1:1234", "seed": 0, "drain": 30}
    assert allowed("load", confined, [shape], words) == ([shape], words)
    released = assignment(ROOT, NOTEBOOKS).notebooks.values()
    sources = [cell.source for one in released for cell in one.cells if cell.cell_type == "code"]
    calls = [n for source in sources for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    loads = [call for call in calls if ast.unparse(call.func) == "lab.load"]
    assert len(loads) > 10
    assert {word.arg for call in loads for word in call.keywords} <= permits.LOAD


def test_nobody_builds_images_without_end(edition: Path, tmp_path: Path) -> None:
    small = Confined(tmp_path, edition)
    given = {"folder": "manifests/07-cold-starts/images/small"}
    for _ in range(20):
        allowed("images.build", small, [given, MINE], {})
    with pytest.raises(BadInput, match="20 images"):
        allowed("images.build", small, [given, MINE], {})


SPREADING = [(verb, args, words) for verb, args, words, spreads in RIGHT if spreads]


@pytest.mark.parametrize(("verb", "args", "words"), SPREADING, ids=lambda one: str(one)[:60])
def test_where_others_work_too_nothing_outlives_a_reset(
    edition: Path, verb: str, args: list[Any], words: dict[str, Any]
) -> None:
    guest = Confined(edition, edition, shared=True)
    with pytest.raises(BadInput, match="others use"):
        allowed(verb, guest, args, words)
    assert allowed("show", guest, ["pods"], {}) == (["pods"], {})  # and the next one is not held against it


@pytest.mark.parametrize("folder", sorted(BUILT))
def test_an_image_is_built_from_the_courses_files(confined: Confined, edition: Path, folder: str) -> None:
    [context, name], _ = allowed("images.build", confined, [{"folder": folder}, MINE], {})
    assert name == MINE
    assert not context.is_relative_to(edition / folder)
    assert contents(context) == contents(edition / folder)


def test_with_the_one_line_that_a_cell_changes(confined: Confined, edition: Path) -> None:
    before = (edition / SERVER / SETTINGS).read_text()
    after = before.replace('"model-version", "v1"', '"model-version", "2.1764086000"')
    assert after != before
    given = {"folder": SERVER, "changed": {SETTINGS: after}}
    [context, _], _ = allowed("images.build", confined, [given, MINE], {})
    assert contents(context) == {**contents(edition / SERVER), SETTINGS: after.encode()}
    labelled = (edition / FULL / "Dockerfile").read_text() + 'LABEL built="1764086000"\n'
    [context, _], _ = allowed("images.build", confined, [dockerfile(labelled), MINE], {})
    assert (context / "Dockerfile").read_text() == labelled


def test_and_with_no_line_more(confined: Confined, edition: Path) -> None:
    text = (edition / FULL / "Dockerfile").read_text()
    for more in ("RUN id\n", 'LABEL built="1"\nRUN id\n', 'LABEL built="$(id)"\n'):
        with pytest.raises(BadInput, match="more changes"):
            allowed("images.build", confined, [dockerfile(text + more), MINE], {})


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_kustomization_of_an_exercise_stays_as_it_is(tmp_path: Path, edition: Path) -> None:
    place = Path("manifests/10-production/exercises/capstone/kustomization.yaml")
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text((edition / place).read_text().replace("hpa.yaml", "https://evil"))
    with pytest.raises(BadInput, match="any address"):
        allowed("apply", Confined(tmp_path, edition), [str(place.parent)], {})
    (tmp_path / place).write_text(f"# Mine, with a comment.\n\n{(edition / place).read_text()}# The end\n")
    allowed("apply", Confined(tmp_path, edition), [str(place.parent)], {})


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ("policyTypes: [Ingress]", "policyTypes: [Ingress, Egress]\n  egress: [{}]", "ingress only"),
        ("policyTypes: [Ingress]", "policyTypes: [Ingress]\n  egress: [{}]", "ingress only"),
        ("policyTypes: [Ingress]", "egress: [{}]", "ingress only"),
        ("  name: only-ours", "  name: class", "NetworkPolicy class"),
        ("  name: only-ours", "  name: only-ours\n  namespace: kube-system", "stays in namespace"),
        ("metadata:\n  name: only-ours", "metadata: [only-ours]", "NetworkPolicy"),
    ],
)
def test_a_students_policy_opens_no_way_out(
    tmp_path: Path, edition: Path, ours: str, theirs: str, why: str
) -> None:
    place = Path("manifests/05-hpa-queue/exercises/only-ours.yaml")
    (tmp_path / place).parent.mkdir(parents=True)
    released = (edition / place).read_text()
    assert ours in released
    (tmp_path / place).write_text(released)
    mine = Confined(tmp_path, edition)
    assert allowed("apply", mine, [str(place)], {}) == ([tmp_path / place], {})
    assert not mine.spread
    (tmp_path / place).write_text(released.replace(ours, theirs))
    with pytest.raises(BadInput, match=why):
        allowed("apply", mine, [str(place)], {})


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ("https://prometheus.monitoring.svc:9090", "http://169.254.169.254/", "metadata.serverAddress"),
        ("- type: prometheus", "- type: metrics-api", r"triggers\[0\].type"),
        ("        name: prometheus", "        name: other", "authenticationRef"),
        ("authModes: tls", "authModes: tls\n        customHeaders: a=b", "metadata.customHeaders"),
        ("    name: llm-inference-service\n  min", "    name: other\n  min", "scaleTargetRef"),
        (
            "  triggers:\n",
            "  triggers:\n    - {type: external, metadata: {scalerAddress: evil}}\n",
            "triggers",
        ),
        ("  triggers:\n    - type", "  triggers:\n      type", "triggers"),
    ],
)
def test_a_students_trigger_asks_nobody_else(
    tmp_path: Path, edition: Path, ours: str, theirs: str, why: str
) -> None:
    """KEDA's operator runs outside of the namespace, and asks any address that a trigger names."""
    place = Path("manifests/11-keda/exercises/scaledobject.yaml")
    (tmp_path / place).parent.mkdir(parents=True)
    released = (edition / place).read_text()
    assert ours in released
    right = released.replace("running", "waiting").replace('threshold: "1"', 'threshold: "5"')
    (tmp_path / place).write_text(right)
    mine = Confined(tmp_path, edition)
    assert allowed("apply", mine, [str(place)], {}) == ([tmp_path / place], {})
    (tmp_path / place).write_text(released.replace(ours, theirs))
    with pytest.raises(BadInput, match=why):
        allowed("apply", mine, [str(place)], {})


@pytest.mark.parametrize("name", ["networkpolicy/class", "networkpolicies", "netpol/only-ours"])
def test_only_the_courses_own_policy_is_deleted(confined: Confined, name: str) -> None:
    own = "networkpolicy/only-ours"
    assert allowed("delete", confined, [own], {}) == ([own], {})
    with pytest.raises(BadInput, match="can't be deleted"):
        allowed("delete", confined, [name], {})


@pytest.mark.parametrize("verb", ["get", "kubectl", "show", "faults.kill", "url", "follow"])
def test_what_the_notebooks_name_goes_through(confined: Confined, verb: str) -> None:
    found = [[word.replace("overlays/x", "overlays/embedded") for word in words] for words in called(verb)]
    assert found
    for words in found:
        allowed(verb, confined, words, {})


def test_what_kubectl_is_asked_for_is_what_was_looked_at(confined: Confined) -> None:
    line = "get   pods -l 'app in (a, b)'"
    assert allowed("kubectl", confined, [line], {}) == (["get pods -l 'app in (a, b)'"], {})


VALVE = "manifests/12-gateway/exercises/valve.yaml"
NUMBERS = (
    ("queueDepthThreshold: 1 ", "queueDepthThreshold: 12 "),
    ("defaultRequestTTL: 120s", "defaultRequestTTL: 9m"),
)
OTHERS = (
    ("type: queue-scorer", "type: random-picker"),
    ("- type: passthrough-parser", "- type: passthrough-parser\n  - type: predicted-latency-producer"),
    ("metricsStalenessThreshold: 2s", "metricsStalenessThreshold: 2s\n      path: /etc/passwd"),
    ('maxRequests: "1k"', "maxRequests: http://example.com"),
    ("featureGates: [flowControl]", "featureGates: [flowControl, dataLayer]"),
    ("plugins:", "plugins: ["),
)


@pytest.mark.parametrize(("old", "new"), [*NUMBERS, *OTHERS])
def test_a_students_picker_has_other_numbers_and_nothing_else(
    tmp_path: Path, edition: Path, old: str, new: str
) -> None:
    mine = tmp_path / VALVE
    mine.parent.mkdir(parents=True)
    text = (edition / VALVE).read_text()
    assert old in text
    mine.write_text(text.replace(old, new, 1))
    confined = Confined(tmp_path, edition)
    if (old, new) in NUMBERS:
        assert allowed("gateway", confined, [VALVE], {}) == ([mine], {})
        assert confined.spread
        return
    with pytest.raises(BadInput):
        allowed("gateway", confined, [VALVE], {})
