"""With which arguments a verb may be asked for: those of the course, on the student's own copy of it."""

import ast
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import BadInput
from labkit.grading.submissions.released import assignment
from labkit.grading.verbs import permits
from labkit.grading.verbs.confined import Confined
from labkit.grading.verbs.contexts import BUILT, THE_COURSES
from labkit.load import Arrivals, Closed, Open
from labkit.notebooks.release import release
from tests.unit.grading_class import NOTEBOOKS, ROOT, called

SERVER, SETTINGS = "cluster/images/model-server", "model_server/settings.py"


FULL = "manifests/07-cold-starts/images/full"


MINE = "registry.lab:5000/me/llm-inference:2"


APIS = "apiservice/v1beta2.custom.metrics.k8s.io"


@pytest.fixture(scope="module")
def edition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(ROOT, tmp_path_factory.mktemp("edition") / "course").folder


@pytest.fixture
def confined(edition: Path) -> Confined:
    return Confined(edition, edition)


@pytest.mark.parametrize(
    ("words", "spreads"),
    [
        (("cordon", "gpu-node-1"), True),
        (("label", "node", "gpu-node-1", "a=b"), True),
        (("taint", "nodes", "--all", "a=b:NoExecute"), True),
        (("delete", "secret", "team-login", "--namespace", "default", "--ignore-not-found"), True),
        (("get", "pods"), False),
        (("rollout", "undo", "deployment/x"), False),
    ],
)
def test_what_kubectl_does_beyond_the_namespace_is_known(
    confined: Confined,
    words: tuple[str, ...],
    spreads: bool,  # noqa: FBT001 - what is expected
) -> None:
    confined.allowed("kubectl", list(words), {})
    assert confined.spread is spreads


def dockerfile(text: str, *, folder: str = FULL) -> dict[str, Any]:
    return {"folder": folder, "changed": {"Dockerfile": text}}


WRONG: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("build", ["/etc", MINE], {}),
    ("build", [{"folder": "/etc"}, MINE], {}),
    ("build", [{"folder": ["cluster"]}, MINE], {}),
    ("build", [{"folder": "manifests/../cluster/images/model-server"}, MINE], {}),
    ("build", [dockerfile("FROM scratch\nRUN cat /etc/passwd\n"), MINE], {}),
    ("build", [{"folder": SERVER, "changed": {"../../x": "1"}}, MINE], {}),
    ("build", [{"folder": SERVER, "changed": {"/etc/cron.d/x": "1"}}, MINE], {}),
    ("build", [{"folder": SERVER, "changed": {"requirements.txt": "evil"}}, MINE], {}),
    ("build", [{"folder": SERVER, "changed": {SETTINGS: "import os; os.system('id')"}}, MINE], {}),
    ("build", [{"folder": SERVER, "changed": {SETTINGS: "x" * 10**6}}, MINE], {}),
    ("build", [{"folder": SERVER}, THE_COURSES], {}),
    ("build", [{"folder": SERVER}, "docker.io/library/python:3.11"], {}),
    ("push", ["registry.lab:5000/other:1"], {}),
    ("push", [THE_COURSES], {}),
    ("tag", ["private.example.com/secret:1", MINE], {}),
    ("tag", [MINE, THE_COURSES], {}),
    ("digest", ["private.example.com/secret:1"], {}),
    ("pull_secret", ["--all"], {}),
    ("pull_secret", ["x"], {"namespace": "kube-system"}),
    ("pull_secret", ["x"], {"kubeconfig": "/root/.kube/config"}),
    ("plug_in", ["../node"], {}),
    ("plug_in", ["gpu-node-9"], {"gpus": 10**9}),
    ("plug_in", ["gpu-node-9"], {"gpus": True}),
    ("plug_in", ["gpu-node-9"], {"labels": {"a": "b"}}),
    ("stop_node", ["etcd"], {}),
    ("stop_node", ["--all"], {}),
    ("start_node", [["gpu-node-1"]], {}),
    ("kwok", [], {"nodes": 10**6}),
    ("kwok", [], {"nodes": "1000"}),
    ("logs", ["../../secrets"], {}),
    ("logs", ["x"], {"container": "other"}),
    ("manifest", ["/etc/passwd"], {}),
    ("manifest", ["manifests/base"], {}),
    ("trial", [99, "ramp"], {}),
    ("trial", ["/etc/passwd", "ramp"], {}),
    ("trial", [3, "ramp"], {"watch": True}),
    ("patch", [APIS, {"spec": {"service": {"name": "mine", "namespace": "llm-lab"}}}], {}),
    ("patch", [APIS, {"spec": {"insecureSkipTLSVerify": True}}], {}),
    ("patch", [APIS, {"spec": {"service": {"name": "../x"}}}], {}),
    ("patch", ["apiservice/v1.", {"spec": {"service": {"name": "mine"}}}], {}),
    ("patch", ["deployment/x", {"spec": {"service": {"name": "mine"}}}], {}),
    ("patch", [APIS, "text"], {}),
    ("kubectl", ["apply", "-k", "/etc"], {}),
    ("kubectl", ["apply", "-k", "manifests/10-production/exercises/capstone"], {}),
    ("kubectl", ["get", "pods"], {"stdin": "x"}),
    ("plant", ["manifests/05-hpa-queue/exercises/hpa.yaml"], {}),
    ("raw", ["/logs/"], {}),
    ("raw", ["/api/v1/secrets"], {}),
    ("raw", ["/apis/metrics.k8s.io/../../logs/auth.log"], {}),
    ("raw", ["/apis/custom.metrics.k8s.io/v1beta2"], {"path": "/logs/"}),
    ("rollout", ["status", "-f/etc/passwd"], {}),
    ("rollout", ["history", "--kubeconfig=/root/x"], {}),
    ("show", ["-f/etc/passwd"], {}),
    ("show", [], {"what": "--filename=/etc/passwd"}),
    ("show", ["pod/../../x"], {}),
    ("object", ["secret/../../../kube-system/secrets/x"], {}),
    ("object", ["secret"], {"name": "../../kube-system/secrets/x"}),
    ("objects", ["../../../logs"], {}),
    ("events", [], {"of": "pod/../x"}),
    ("scale", ["deployment/../../other/deployments/x"], {"replicas": 0}),
    ("kill", ["pod/../../x"], {}),
    ("url", ["pod/../../x"], {}),
    ("follow", [], {"pod": "../x"}),
    ("watch", ["../x"], {"until": "pods total=0"}),
    ("record", [], {"deployment": "../x"}),
    ("ledger", [], {"hpa": "../x"}),
    ("why", [], {"hpa": "../x", "title": "Why?"}),
    ("doctor", [], {"hpa": "../../x"}),
    ("load", [Closed(users=1, seconds=60)], {"url": "http://example.com"}),
    ("load", [Closed(users=1, seconds=60)], {"clock": 1000}),
    ("load", [Closed(users=10**6, seconds=60)], {}),
    ("load", [Closed(users=((0, 1), (5, 10**6)), seconds=60)], {}),
    ("load", [Open(Arrivals(tuple(float(n) for n in range(20_001)), 60, "a flood"))], {}),
    ("load", ["anything"], {}),
    ("curl", ["http://169.254.169.254/"], {}),
]


@pytest.mark.parametrize(("verb", "args", "words"), WRONG, ids=lambda one: str(one)[:60])
def test_hostile_arguments_are_refused(
    confined: Confined, verb: str, args: list[Any], words: dict[str, Any]
) -> None:
    with pytest.raises(BadInput):
        confined.allowed(verb, args, words)


RIGHT: list[tuple[str, list[Any], dict[str, Any], bool]] = [
    ("push", [MINE], {}, True),
    ("tag", [THE_COURSES, MINE], {}, False),
    ("digest", [MINE], {}, False),
    ("login", ["learner", "last-years-password"], {}, False),
    ("pull_secret", ["my-login"], {}, False),
    ("pull_secret", ["team-login"], {"namespace": "default"}, True),
    ("pull_secret", ["old-password"], {"password": "--from-file=/etc/passwd"}, False),  # goes into a file
    ("plug_in", ["gpu-node-a100"], {"gpus": 1, "gpu_product": "NVIDIA-A100-SXM4-40GB"}, True),
    ("stop_node", ["gpu-node-2"], {}, True),
    ("start_node", ["gpu-node-2"], {}, True),
    ("kwok", [], {"nodes": 1000}, True),
    ("kwok", [], {"nodes": 0}, True),
    ("logs", ["tenant-6d5-x"], {"previous": True, "tail": 4}, False),
    ("answering", [], {}, False),
    (
        "raw",
        ["/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm-lab/pods/*/vllm_request_queue_size"],
        {},
        False,
    ),
    ("raw", ["/apis/custom.metrics.k8s.io/v1beta2"], {}, False),
    ("rollout", ["history", "deployment/llm-inference-service"], {}, False),
    ("show", ["pods"], {"selector": "app=llm-model"}, False),
    ("show", ["hpa/llm-hpa"], {}, False),
    ("object", ["apiservice/v1beta1.metrics.k8s.io"], {}, False),
    ("objects", ["apiservices"], {}, False),
    ("events", [""], {}, False),
    ("url", [], {"name": "llm-inference-service", "port": 80}, False),
    ("watch", ["hpa", "gpus"], {"until": "hpa/llm-hpa desired=2", "seconds": 60}, False),
    ("record", [], {"deployment": "on-queue", "hpa": "llm-hpa-queue"}, False),
    ("pace", ["app=thousand"], {}, False),
    ("trial", [3, "burst"], {}, False),
    ("patch", [APIS, {"spec": {"service": {"name": "prometheus-adapter"}}}], {}, True),
]


@pytest.mark.parametrize(("verb", "args", "words", "spreads"), RIGHT, ids=lambda one: str(one)[:60])
def test_what_the_course_says_goes_through_as_it_is(
    confined: Confined,
    verb: str,
    args: list[Any],
    words: dict[str, Any],
    spreads: bool,  # noqa: FBT001 - what is expected
) -> None:
    assert confined.allowed(verb, args, words) == (args, words)
    assert confined.spread is spreads


def test_a_path_becomes_that_of_the_students_own_copy(confined: Confined, edition: Path) -> None:
    queue = "manifests/06-tuning/policies/cpu.yaml"
    assert confined.allowed("trial", [queue, "burst"], {}) == ([edition / queue, "burst"], {})
    keda = "manifests/10-production/exercises/keda.yaml"
    assert confined.allowed("manifest", [keda], {}) == ([edition / keda], {})
    server = "manifests/overlays/embedded/server"
    assert confined.allowed("kubectl", ["apply", "-k", server], {})[0] == ["apply", "-k", edition / server]


def test_loads_are_sent_to_the_labs_own_addresses_by_the_words_of_the_course(confined: Confined) -> None:
    confined.addresses.add("http://127.0.0.1:1234")
    shape, words = Closed(users=64, seconds=45), {"url": "http://127.0.0.1:1234", "seed": 0, "drain": 30}
    assert confined.allowed("load", [shape], words) == ([shape], words)
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
        small.allowed("build", [given, MINE], {})
    with pytest.raises(BadInput, match="20 images"):
        small.allowed("build", [given, MINE], {})


SPREADING = [(verb, args, words) for verb, args, words, spreads in RIGHT if spreads]


@pytest.mark.parametrize(("verb", "args", "words"), SPREADING, ids=lambda one: str(one)[:60])
def test_where_others_work_too_nothing_outlives_a_reset(
    edition: Path, verb: str, args: list[Any], words: dict[str, Any]
) -> None:
    guest = Confined(edition, edition, shared=True)
    with pytest.raises(BadInput, match="others use"):
        guest.allowed(verb, args, words)
    assert guest.allowed("show", ["pods"], {}) == (["pods"], {})  # and the next one is not held against it


@pytest.mark.parametrize("folder", sorted(BUILT))
def test_an_image_is_built_from_the_courses_files(confined: Confined, edition: Path, folder: str) -> None:
    [context, name], _ = confined.allowed("build", [{"folder": folder}, MINE], {})
    assert name == MINE
    assert not context.is_relative_to(edition / folder)
    assert contents(context) == contents(edition / folder)


def test_with_the_one_line_that_a_cell_changes(confined: Confined, edition: Path) -> None:
    before = (edition / SERVER / SETTINGS).read_text()
    after = before.replace('"model-version", "v1"', '"model-version", "2.1764086000"')
    assert after != before
    given = {"folder": SERVER, "changed": {SETTINGS: after}}
    [context, _], _ = confined.allowed("build", [given, MINE], {})
    assert contents(context) == {**contents(edition / SERVER), SETTINGS: after.encode()}
    labelled = (edition / FULL / "Dockerfile").read_text() + 'LABEL built="1764086000"\n'
    [context, _], _ = confined.allowed("build", [dockerfile(labelled), MINE], {})
    assert (context / "Dockerfile").read_text() == labelled


def test_and_with_no_line_more(confined: Confined, edition: Path) -> None:
    text = (edition / FULL / "Dockerfile").read_text()
    for more in ("RUN id\n", 'LABEL built="1"\nRUN id\n', 'LABEL built="$(id)"\n'):
        with pytest.raises(BadInput, match="more changes"):
            confined.allowed("build", [dockerfile(text + more), MINE], {})


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_kustomization_of_an_exercise_stays_as_it_is(tmp_path: Path, edition: Path) -> None:
    place = Path("manifests/10-production/exercises/capstone/kustomization.yaml")
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text((edition / place).read_text().replace("hpa.yaml", "https://evil"))
    with pytest.raises(BadInput, match="any address"):
        Confined(tmp_path, edition).allowed("apply", [str(place.parent)], {})


@pytest.mark.parametrize(
    "verb", ["object", "objects", "show", "events", "scale", "kill", "url", "follow", "raw"]
)
def test_what_the_notebooks_name_goes_through(confined: Confined, verb: str) -> None:
    for words in called(verb):
        confined.allowed(verb, list(words), {})
