"""What a student's process may ask for: all that the notebooks need, and of each verb no more than that."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import BadInput
from labkit.evidence.pace import Pacing
from labkit.grading.sites.site import Site
from labkit.grading.submissions.released import assignment
from labkit.grading.verbs import commands, permits
from labkit.grading.verbs.asked import refuse_beyond, refuse_beyond_there
from labkit.grading.verbs.confined import Confined
from labkit.grading.verbs.contexts import BUILT, THE_COURSES
from labkit.grading.verbs.held import Held
from labkit.grading.verbs.permits import (
    LAB,
    LOCAL,
    own_path,
    permitted,
    refuse_address,
    refuse_foreign,
)
from labkit.kube.client import Kube
from labkit.lab import Lab
from labkit.load import Arrivals, Closed, Open
from labkit.notebooks.release import release
from tests.unit.grading_class import ROOT
from tests.unit.grading_jailed import NOWHERE

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
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


def called(name: str) -> Iterator[tuple[str, ...]]:
    """The calls of a verb in all notebooks whose words stand there in so many words."""
    released = assignment(ROOT, NOTEBOOKS).notebooks.values()
    sources = [cell.source for one in released for cell in one.cells if cell.cell_type == "code"]
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
            words = [word.value for word in node.args if isinstance(word, ast.Constant)]
            if len(words) == len(node.args):
                yield tuple(map(str, words))


def test_every_notebook_of_the_course_can_be_graded() -> None:
    refuse_beyond(assignment(ROOT, NOTEBOOKS).notebooks)


def test_a_notebook_that_asks_for_more_is_refused_by_name() -> None:
    cells = [{"cell_type": "code", "source": line} for line in ("lab.gpus", "lab.kube.scale(1)")]
    cells += [{"cell_type": "code", "source": 'lab.kube.kubectl("drain", node)'}]
    asked = assignment(ROOT, NOTEBOOKS[:1]).notebooks["00-start"]
    asked.cells = [type(asked)(cell) for cell in cells]
    with pytest.raises(BadInput, match=r"99-new uses kubectl drain, lab\.gpus, lab\.kube\.scale"):
        refuse_beyond({"99-new": asked})


@pytest.mark.parametrize(
    ("provider", "fit"),
    [("kind", "02-deploy 03-load 04-hpa-cpu 06-tuning"), ("existing", "03-load")],
)
def test_where_others_work_too_some_notebooks_are_refused_up_front(provider: str, fit: str) -> None:
    wanted = assignment(ROOT, NOTEBOOKS).notebooks
    chosen = {name: wanted[name] for name in fit.split()}
    refuse_beyond_there(chosen, Site(provider), ROOT)
    for name in set(wanted) - set(chosen):
        with pytest.raises(BadInput, match=rf"Can't be graded on {provider}: {name} uses") as error:
            refuse_beyond_there({name: wanted[name]}, Site(provider), ROOT)
        assert f"among: {', '.join(chosen)}. Or leave --provider out" in error.value.fix
    refuse_beyond_there(wanted, Site(), ROOT)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("00-start", "kubectl patch node/…"),
        ("01-containerize", "lab.push"),
        ("05-hpa-queue", "lab.plant, manifests/05-hpa-queue/faults/apiservice.yaml (APIService)"),
        ("09-placement", "kubectl taint node, lab.kwok, lab.start_node, lab.stop_node"),
    ],
)
def test_what_would_change_the_cluster_for_others_is_named(name: str, told: str) -> None:
    with pytest.raises(BadInput, match="Can't be graded on kind") as error:
        refuse_beyond_there({name: assignment(ROOT, NOTEBOOKS).notebooks[name]}, Site("kind"), ROOT)
    assert told in error.value.what


def test_a_provider_that_lacks_something_is_told_so() -> None:
    wanted = assignment(ROOT, NOTEBOOKS).notebooks
    for name, told in (("02-deploy", "lab.kill"), ("05-hpa-queue", "lab.plant, lab.why")):
        with pytest.raises(BadInput) as error:
            refuse_beyond_there({name: wanted[name]}, Site("existing"), ROOT)
        assert told in error.value.what


def test_a_load_on_any_cluster_needs_a_service_with_an_address(tmp_path: Path) -> None:
    for folder in ("manifests", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    wanted = {"04-hpa-cpu": assignment(ROOT, NOTEBOOKS).notebooks["04-hpa-cpu"]}
    with pytest.raises(BadInput, match="04-hpa-cpu/server gives no way in"):
        refuse_beyond_there(wanted, Site("existing"), tmp_path)
    service = tmp_path / "manifests/base/server/service.yaml"
    service.write_text(service.read_text().replace("spec:\n", "spec:\n  type: LoadBalancer\n"))
    refuse_beyond_there(wanted, Site("existing"), tmp_path)
    shutil.rmtree(tmp_path / "manifests/overlays/existing")
    wanted = {"03-load": assignment(ROOT, NOTEBOOKS).notebooks["03-load"]}
    with pytest.raises(BadInput, match=r"existing/server \(there is none\)"):
        refuse_beyond_there(wanted, Site("existing"), tmp_path)


def test_every_verb_that_is_permitted_is_one_of_the_lab() -> None:
    here = {name for name in dir(Lab) if not name.startswith("_")} | {"clock", "kube", "trial"}
    assert here >= LAB | LOCAL
    assert not permitted(Lab, "apply")  # an object, not the class
    assert not LAB & {"session", "prometheus", "gpus", "fail_gpu", "copy"}


@pytest.mark.parametrize(
    "words",
    [
        ("apply", "-f", "/etc/passwd"),
        ("apply", "-k", "https://example.com/"),
        ("get", "--kubeconfig=/root/x", "pods"),
        ("get", "--raw=/"),
        ("get", "pods", "-o", "jsonpath-file=/etc/passwd"),
        ("get", "pods", "-ogo-template-file=/etc/passwd"),
        ("get", "secrets", "--all-namespaces", "-o", "yaml"),
        ("get", "secrets", "-n", "monitoring"),
        ("delete", "secret", "team-login", "--namespace", "kube-system"),
        ("delete", "node", "gpu-node-1"),
        ("drain", "gpu-node-1"),
        ("config", "view", "--raw"),
        ("patch", "apiservice/v1beta2.custom.metrics.k8s.io", "-p", "{}"),
        ("scale", "--replicas=9", "-f", "x"),
        ("label", "namespace/llm-lab", "a=b"),
        ("exec", "pod/x"),
        ("patch", "namespace/llm-lab-", "-p", "{}"),
        ("annotate", "pod/x", "labkit.dev/address=169.254.169.254"),
        ("patch", "pod/x", "--subresource=status", "-p", "{}"),
        ("wait", "pod/x", "--for=delete", "--timeout=9999h"),
        ("get", "pods", "--timeout=5s"),
        (),
    ],
)
def test_kubectl_reads_no_file_and_reaches_nothing_else(words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput):
        commands.refuse_options(words)


@pytest.mark.parametrize("words", sorted(set(called("kubectl"))), ids=" ".join)
def test_kubectl_does_what_the_notebooks_ask(words: tuple[str, ...]) -> None:
    commands.refuse_options(words)


def test_kubectl_does_what_solutions_ask() -> None:
    for words in (
        ("patch", "node/cpu-0", "--subresource=status", "--type=merge", "-p", '{"status": "a/b"}'),
        ("set", "image", "deployment/x", "model-server=registry.lab:5000/llm-inference:2.0"),
        ("wait", "node/x", r"--for=jsonpath={.status.allocatable.nvidia\.com/gpu}=8", "--timeout=30s"),
        ("cordon", "gpu-node-1"),
        ("annotate", "deployment/x", "kubectl.kubernetes.io/last-applied-configuration-"),
        ("taint", "node", "gpu-node-1", "nvidia.com/gpu=present:NoSchedule"),
    ):
        commands.refuse_options(words)


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


@pytest.mark.parametrize(
    "word",
    ["node/gpu-0", "namespace/kube-system", "apiservice/x", "clusterrole/admin", "--all", "pod/../x", 5],
)
def test_nothing_is_deleted_but_what_the_course_deletes(word: Any) -> None:
    with pytest.raises(BadInput):
        commands.refuse_targets([word])
    commands.refuse_targets(["pod/coffee", "deployment/llm-inference-service", "hpa/llm-hpa-cpu"])


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


@pytest.mark.parametrize(
    "words",
    [
        ("-p", r'{"metadata": {"managed\u0046ields": [{}]}}'),
        ("-p", '{"metadata": {"managedFields": [{}]}}'),
        ("--type=json", '-p=[{"op": "remove", "path": "/metadata/managedFields/0"}]'),
        ("--type=json", "-p", '[{"op": "add", "path": "/metadata/annotations/labkit.dev~1address"}]'),
        ("-p", r'{"metadata": {"annotations": {"labkit.dev\/address": "127.0.0.1:9"}}}'),
        ("-p", '{\t"metadata": {"annotations": {"labkit.dev\\u002faddress": "127.0.0.1:9"}}}'),
        ("-p", '{"spec": {"externalIPs": ["10.0.0.1"]}}'),
    ],
)
def test_nobody_writes_who_wrote_a_field_or_who_answers_for_a_pod(words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match=r"to write|can't be read"):
        commands.refuse_options(("patch", "pod/x", *words))


def test_nor_in_a_manifest_behind_an_escape(confined: Confined, tmp_path: Path) -> None:
    path = tmp_path / "hpa.yaml"
    path.write_text('kind: Pod\nmetadata: {annotations: {"labkit.dev\\x2faddress": "127.0.0.1:9"}}\n')
    with pytest.raises(BadInput, match=r"labkit\.dev/address is not a student's"):
        refuse_foreign(path, path)


def test_a_status_is_a_nodes_or_nobodys() -> None:
    status = ("--subresource=status", "--type=merge", "-p", "{}")
    commands.refuse_options(("patch", "node/gpu-node-1", *status))
    for targets in (("hpa/llm-hpa",), ("hpa/llm-hpa", "node/gpu-node-1"), ("hpa", "node/x"), ()):
        with pytest.raises(BadInput, match="controller's to write"):
            commands.refuse_options(("patch", *targets, *status))


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


@pytest.mark.parametrize("given", ["/etc/passwd", "../../etc/passwd", "manifests/nothing.yaml", "\0", 5])
def test_no_path_leads_out_of_the_course(edition: Path, given: Any) -> None:
    with pytest.raises(BadInput):
        own_path(edition, given)
    assert own_path(edition, "manifests/base").is_dir()


@pytest.mark.parametrize(
    "text",
    [
        "kind: ClusterRoleBinding",
        "kind: APIService",
        "kind: Pod\nmetadata: {namespace: kube-system}",
        "kind: Pod\n---\nkind: Node",
        "kind: [Pod]",
        "kind: Pod\nmetadata: {annotations: {labkit.dev/address: evil}}",
        "kind: Pod\n\tspec",
    ],
)
def test_an_exercise_holds_nothing_but_what_the_course_asks_for(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(BadInput):
        refuse_foreign(tmp_path / "a.yaml", ROOT / "manifests/05-hpa-queue/exercises/hpa.yaml")


def test_every_exercise_and_solution_of_the_course_is_permitted() -> None:
    files = [*ROOT.glob("manifests/*/exercises/*.yaml"), *ROOT.glob("manifests/*/solutions/*.yaml")]
    assert files
    for path in files:
        refuse_foreign(path, path.parents[1] / "exercises" / path.name)


def test_what_outlives_a_reset_of_the_namespace_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: Pod\n---\nkind: PriorityClass\n")
    assert permits.spreading(tmp_path / "a.yaml")
    assert not permits.spreading(ROOT / "manifests/05-hpa-queue/solutions/hpa.yaml")


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "http://127.0.0.1:1234@evil/", "file:///etc/passwd", 5]
)
def test_the_grader_fetches_nothing_but_the_labs_own_addresses(url: Any) -> None:
    known = {"http://127.0.0.1:1234"}
    refuse_address("http://127.0.0.1:1234/metrics", known)
    with pytest.raises(BadInput):
        refuse_address(url, known)


def test_no_wait_is_longer_than_a_cell_may_take() -> None:
    assert permits.bounded({"seconds": 1e9}) == {"seconds": permits.LONGEST}
    assert permits.bounded({"until": 1}) == {"until": 1}


@pytest.mark.parametrize(
    "verb", ["object", "objects", "show", "events", "scale", "kill", "url", "follow", "raw"]
)
def test_what_the_notebooks_name_goes_through(confined: Confined, verb: str) -> None:
    for words in called(verb):
        confined.allowed(verb, list(words), {})


def test_nobody_begins_recordings_without_end(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(NOWHERE)
    held, kube = Held(), Kube(tmp_path / "config", namespace="llm-lab", clock=15)
    for _ in range(60):
        held.refuse_more("follow")
        held.keep(Pacing(kube, selector="app=thousand"))
    with pytest.raises(BadInput, match="60 recordings"):
        held.refuse_more("record")
    held.refuse_more("load")
    held.end()
