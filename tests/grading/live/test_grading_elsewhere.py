"""A class is graded as a guest: on a cluster that was there before it, and that others use, too.

python -m tests.grading.live.test_grading_elsewhere PLACE      a grader to be killed
"""

import contextlib
import http.server
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from labkit import reset
from labkit.errors import BadInput, ClusterError, NotOurs, ProviderError
from labkit.kube import Kube, namespaces
from labkit.lab import NAMESPACE, Lab, Session
from labkit_grading import tenancy
from labkit_grading.judging.bundle import Bundle, load, store
from labkit_grading.judging.rubric import of
from labkit_grading.judging.seal import key
from labkit_grading.judging.sheet import Sheet, grade
from labkit_grading.kernel.handover import HandOver
from labkit_grading.room import furnish
from labkit_grading.sites import claim
from labkit_grading.sites.claim import GRADING, LASTS, Claim
from labkit_grading.sites.guard import Guard
from labkit_grading.sites.site import Site
from labkit_grading.student import Job, examine
from labkit_grading.submissions.handed_in import clean
from labkit_grading.submissions.intake import take_in
from labkit_grading.submissions.released import assignment
from labkit_grading.verbs.asked import refuse_beyond_there
from labkit_grading.verbs.broker import Broker
from localcluster import polling, spawn
from localcluster.embedded.provider import Embedded
from localcluster.provider import Endpoint
from tests.attacks import ANSWERS, RIGHT, HandIn
from tests.attacks.attack import attack
from tests.grading.live.grading_quiz import ROOT, SOURCES, Quiz, grade_class
from tests.grading.live.test_grading_crew import await_first, evidence, processes
from tests.grading.unit.grading_solved import hand_in

pytestmark = pytest.mark.long

THERE = Site("existing", clock=1)
WATCH = """
target = '{"type": "Utilization", "averageUtilization": 10}'
cpu = '{"type": "Resource", "resource": {"name": "cpu", "target": %s}}' % target
metrics = '{"spec": {"metrics": [%s]}}' % cpu
with lab.attempt():
    lab.kubectl(f"patch hpa/llm-hpa -p '{metrics}'")
    lab.until("deployment/llm-inference-service ready>=6", seconds=45)
run = seen.stop()
"""
"""A load would need a Service with an address outside; a target below an idle server's CPU will do."""
GUESTS = Quiz(
    "05-guests",
    (
        SOURCES[0],
        SOURCES[1],
        SOURCES[2].replace("{PROVIDER}", "embedded"),
        *SOURCES[3:5],
        "seen = lab.record()",
        SOURCES[8],
        WATCH,
        SOURCES[10],
    ),
    ("05.hpa", "05.names", "05.scale-out"),
)
RUBRIC = of({"notebooks": ["05"], "points": 0, "checks": dict.fromkeys(GUESTS.checks, 1)})
BY_HAND = 'trick = lab.kubectl("scale deployment/llm-inference-service --replicas=8")'
HOST = b"""
---
apiVersion: v1
kind: Pod
metadata: {name: root}
spec:
  containers: [{name: root, image: "registry.lab:5000/llm-inference:1.0"}]
  volumes: [{name: host, hostPath: {path: /}}]
"""
GREEDY = (Path(__file__).parents[2] / "attacks" / "eater.yaml").read_bytes().replace(b"12", b"50")
ROLE = b"""
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: mine}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
"""
SECRETS = """
trick = None
with lab.attempt():
    lab.kubectl("get secrets --all-namespaces")
"""
QUOTA = """
trick = None
with lab.attempt():
    lab.delete("resourcequota/class")
"""
POSING = r"""
trick = lab.kubectl("scale deployment/llm-inference-service --replicas=8")
entry = '{"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale", '
entry += '"apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}}'
claim = '{"metadata": {"managed\\u0046ields": [%s]}}' % entry
with lab.attempt():
    lab.kubectl(f"patch deployment/llm-inference-service -p '{claim}'")
"""
KNOWN = ("05.names",)
HELD = ("05.hpa", *KNOWN)
CLASS = {
    "ada": HandIn(ANSWERS, GUESTS.checks),
    "by-hand": attack({"answer-05-scale-out": BY_HAND}, KNOWN, hpa=None),
    "greedy": attack({}, HELD, hpa=RIGHT + b"\n---\n" + GREEDY),
    "lawless": attack({"answer-05-scale-out": QUOTA}, KNOWN, hpa=RIGHT + ROLE),
    "posing": attack({"answer-05-scale-out": POSING}, KNOWN, hpa=None),
    "host-path": attack({"answer-05-scale-out": SECRETS}, KNOWN, hpa=RIGHT + HOST),
    "zoe": HandIn(ANSWERS, GUESTS.checks),
}
"""What the API server forbids is applied together with the right HPA: all or nothing, so nothing."""
HONEST = ("ada", "zoe")


@contextlib.contextmanager
def served(prometheus: Endpoint) -> Iterator[str]:
    """The lab's Prometheus, as its owner lets guests reach it: without a certificate of the lab's."""
    session = requests.Session()
    session.trust_env, session.verify = False, str(prometheus.ca)
    session.cert = (str(prometheus.cert), str(prometheus.key))

    class Through(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = session.get(prometheus.url + self.path, timeout=10)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Through) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def owner(cluster: Embedded) -> Iterator[Lab]:
    """Who looks after the cluster: its nodes have the model server's image, and its namespace is empty."""
    kube = Kube(cluster.kubeconfig(), namespace=NAMESPACE, clock=cluster.spec().clock)
    lab = Lab(Session(cluster, cluster.spec().clock, 0, "test"), kube)
    lab.reset()
    kube.apply("manifests/overlays/embedded/server")
    kube.scale("deployment/llm-inference-service", replicas=12)
    kube.until("deployment/llm-inference-service ready=12", seconds=120)
    reset.clear(kube, print)
    with pytest.MonkeyPatch.context() as patch, served(cluster.prometheus()) as prometheus:
        patch.setenv("KUBECONFIG", str(cluster.kubeconfig()))
        patch.setenv("LABKIT_PROMETHEUS", prometheus)
        patch.delenv("LABKIT_CONTEXT", raising=False)
        yield lab
    kube.delete_namespace(GRADING)
    reset.clear(kube, print)


@pytest.fixture(scope="module")
def bundles(owner: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    place = tmp_path_factory.mktemp("g")
    for name, one in CLASS.items():
        one.write(place / "class" / name, GUESTS.name, GUESTS.released)
    return grade_class(place, GUESTS, at=THERE)


@pytest.fixture(scope="module")
def sheets(bundles: dict[str, Bundle]) -> dict[str, Sheet]:
    return {name: grade(bundle, RUBRIC) for name, bundle in bundles.items()}


def passed(sheet: Sheet) -> set[str]:
    return {one.id for one in sheet.lines if one.points}


def flags(sheet: Sheet) -> str:
    return "\n".join(remark.what for remark in sheet.remarks if remark.kind == "flagged")


@pytest.mark.parametrize("name", HONEST)
def test_whoever_did_the_work_has_its_points(sheets: dict[str, Sheet], name: str) -> None:
    assert passed(sheets[name]) == set(CLASS[name].earns), sheets[name]
    assert not sheets[name].flagged, flags(sheets[name])
    assert not sheets[name].unjudged


@pytest.mark.parametrize("name", sorted(set(CLASS) - set(HONEST)))
def test_an_attack_earns_nothing_but_its_honest_part_and_is_flagged(
    sheets: dict[str, Sheet], name: str
) -> None:
    assert passed(sheets[name]) <= set(CLASS[name].earns), sheets[name]
    assert sheets[name].flagged


@pytest.mark.parametrize("name", ["by-hand", "posing"])
def test_scaling_by_hand_is_no_hpa_without_an_audit_log_either(sheets: dict[str, Sheet], name: str) -> None:
    [line] = [one for one in sheets[name].lines if one.id == "05.scale-out"]
    assert line.state == "forged"
    assert "it was not the HPA that wrote this" in line.note


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lawless", "makes no Role"),
        ("lawless", "resourcequota/class is not allowed in a graded run"),
        ("posing", "managedFields can't be set by a submission"),
        ("host-path", "violates PodSecurity"),
        ("host-path", "secrets is forbidden"),
    ],
)
def test_what_was_tried_is_told(sheets: dict[str, Sheet], name: str, told: str) -> None:
    assert told in flags(sheets[name])


def test_the_namespace_is_left_empty(owner: Lab, bundles: dict[str, Bundle]) -> None:
    assert len(bundles) == len(CLASS)
    refuse_leftovers(owner)


def refuse_leftovers(owner: Lab) -> None:
    """Nothing of the class is there, and nothing that held it."""
    for kind in ("pods", "deployments", "hpa", "resourcequotas", "limitranges", "networkpolicies", "roles"):
        assert owner.kube.objects(kind) == [], kind
    there = namespaces.find(owner.kube.api, GRADING)
    assert there is None or there.at("status.phase") == "Terminating"


def test_two_workers_would_spoil_each_others_figures(place_of_one: Path) -> None:
    with pytest.raises(BadInput, match="has room for one"):
        grade_class(place_of_one, GUESTS, at=THERE, workers=2)


@pytest.fixture
def place_of_one(tmp_path: Path) -> Path:
    CLASS["ada"].write(tmp_path / "class" / "ada", GUESTS.name, GUESTS.released)
    return tmp_path


def test_somebodys_work_is_refused_and_survives(owner: Lab, place_of_one: Path) -> None:
    owner.kube.kubectl("create", "deployment", "thesis", "--image=registry.lab:5000/llm-inference:1.0")
    try:
        with pytest.raises(NotOurs, match="contains someone's work: deployment/thesis"):
            grade_class(place_of_one, GUESTS, at=THERE)
        assert owner.kube.object("deployment/thesis")
    finally:
        reset.clear(owner.kube, print)


def test_who_may_not_hold_a_class_is_told_before_the_first_student(
    owner: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.kube.kubectl("create", "serviceaccount", "teacher", "-n", "default")
    config = yaml.safe_load(owner.kube.kubeconfig.read_text())
    token = owner.kube.kubectl("create", "token", "teacher", "-n", "default").strip()
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    try:
        with pytest.raises(ProviderError, match="may not"):
            Site.chosen("existing")
        role = ("--clusterrole=cluster-admin", "--serviceaccount=default:teacher")
        owner.kube.kubectl("create", "rolebinding", "teacher", *role)
        with pytest.raises(ProviderError, match="is not allowed to grade on that cluster") as error:
            tenancy.held(THERE, tmp_path, print).__enter__()
        assert GRADING in error.value.cause
    finally:
        owner.kube.kubectl("delete", "rolebinding", "teacher", "--ignore-not-found")
        owner.kube.kubectl("delete", "serviceaccount", "teacher", "-n", "default")


def test_another_class_is_waited_for_until_its_claim_has_run_out(
    owner: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.kube.ensure_namespace(GRADING)
    killed = Claim(owner.kube.api, "elsewhere:/report")
    killed.look()
    killed.take()
    owner.kube.kubectl("create", "deployment", "left", "--image=registry.lab:5000/llm-inference:1.0")
    with pytest.raises(NotOurs, match="Another class is being graded on this cluster: elsewhere:/report"):
        tenancy.held(THERE, tmp_path, print).__enter__()
    later = time.time() + LASTS
    monkeypatch.setattr(time, "time", lambda: later)
    lines: list[str] = []
    with tenancy.held(THERE, tmp_path, lines.append):
        assert owner.kube.objects("deployments") == []
    assert "an earlier grader left it" in lines[0]


def test_the_report_of_a_killed_grader_goes_on_at_once(owner: Lab, tmp_path: Path) -> None:
    owner.kube.ensure_namespace(GRADING)
    killed = Claim(owner.kube.api, tenancy.holder(tmp_path))
    killed.look()
    killed.take()
    owner.kube.kubectl("create", "deployment", "left", "--image=registry.lab:5000/llm-inference:1.0")
    with tenancy.held(THERE, tmp_path, print):
        assert owner.kube.objects("deployments") == []


def test_a_grader_that_is_killed_goes_on_where_it_was(owner: Lab, tmp_path: Path) -> None:
    for name in HONEST:
        CLASS[name].write(tmp_path / "class" / name, GUESTS.name, GUESTS.released)
    argv = [sys.executable, "-m", "tests.grading.live.test_grading_elsewhere", str(tmp_path)]
    child = spawn.popen(argv, cwd=ROOT, log=tmp_path / "grader.log")
    await_first(tmp_path)
    owner.kube.until("deployment/llm-inference-service available", seconds=60)  # of the second student
    child.kill()
    child.wait()
    before = evidence(tmp_path)
    lines: list[str] = []
    graded = grade_class(tmp_path, GUESTS, at=THERE, tell=lines.append)
    assert {name: passed(grade(one, RUBRIC)) for name, one in graded.items()} == {
        name: set(GUESTS.checks) for name in HONEST
    }
    assert "1 of 2 students to run" in lines
    assert {name: evidence(tmp_path)[name] for name in before} == before
    assert processes(tmp_path) == []
    refuse_leftovers(owner)


def test_nothing_is_believed_that_was_seen_after_a_claim_was_lost(
    owner: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "EVERY", 0.2)
    owner.kube.ensure_namespace(GRADING)
    ours, theirs = (Claim(owner.kube.api, "here:/report") for _ in range(2))
    ours.look()
    ours.take()
    theirs.look()
    theirs.take()
    with ours.renewed():
        polling.until(lambda: not ours.ours, "the loss to be seen", seconds=30)
    with pytest.raises(NotOurs, match="lost its claim"):
        ours.refuse_if_lost()
    owner.kube.delete_namespace(GRADING)


def test_a_students_token_does_the_course_and_nothing_else(owner: Lab, tmp_path: Path) -> None:
    owner.kube.ensure_namespace(GRADING)
    guard = Guard(owner.kube, tmp_path, 600)
    guard.lay()
    student = guard.student()
    assert (tmp_path / "student.kubeconfig").stat().st_mode & 0o077 == 0
    student.apply("manifests/overlays/embedded")
    student.scale("deployment/llm-inference-service", replicas=3)
    student.kubectl("set", "env", "deployment/llm-inference-service", "MODEL_VERSION=v2")
    student.kubectl("rollout", "undo", "deployment/llm-inference-service")
    student.until("deployment/llm-inference-service available", seconds=60)
    student.logs(student.objects("pods")[0].name)
    for words in (
        ("delete", "resourcequota/class"),
        ("delete", "rolebinding/student"),
        ("delete", "networkpolicy/class"),
        ("get", "secrets", "-n", "kube-system"),
        ("get", "secrets"),
        ("get", "nodes"),
        ("create", "role", "mine", "--verb=*", "--resource=*"),
        ("create", "token", "student", "-n", GRADING),
        ("delete", "lease/class", "-n", GRADING),
        ("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=privileged", "--overwrite"),
        ("patch", "deployment/llm-inference-service", "--subresource=status", "-p", "{}"),
    ):
        with pytest.raises(ClusterError, match="forbidden"):
            student.kubectl(*words)
    reset.clear(owner.kube, print)
    owner.kube.delete_namespace(GRADING)


def test_after_a_reset_a_submission_is_held_to_twelve_gpus_again(owner: Lab, tmp_path: Path) -> None:
    owner.kube.ensure_namespace(GRADING)
    broker = Broker(owner, tmp_path, HandOver(GUESTS.released), ROOT, guard=Guard(owner.kube, tmp_path, 600))
    with tempfile.TemporaryDirectory() as sockets:
        close = broker.listen(Path(sockets) / "s")
        broker._do({"on": 0, "do": "reset", "args": [], "words": {}})
        close()
    greedy = tmp_path / "greedy.yaml"
    greedy.write_bytes(GREEDY)
    owner.kube.apply(greedy)
    polling.until(lambda: "exceeded quota" in owner.kube.kubectl("events"), "the quota's refusal", seconds=60)
    assert len(owner.kube.objects("pods")) == 12
    reset.clear(owner.kube, print)
    owner.kube.delete_namespace(GRADING)


@pytest.mark.parametrize("number", ["02", "03", "04", "06"])
def test_a_solved_notebook_has_all_its_points_as_a_guest(
    owner: Lab, number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded lab stands in for kind: the same objects, an audit log, a clock of 15."""
    monkeypatch.setattr(Site, "connected", lambda _: owner.session.provider)
    guests = Site("kind", clock=owner.clock)
    [path] = ROOT.glob(f"notebooks/{number}-*.ipynb")
    hand_in(number, tmp_path / "class" / "ada")
    room = furnish(ROOT, tmp_path / "report", key(tmp_path / "key.pem"), rubric=None, notebooks=[path.stem])
    wanted, [ada] = assignment(ROOT, [path]), take_in(tmp_path / "class").submissions
    refuse_beyond_there(wanted.notebooks, guests, ROOT)
    job = Job(wanted, room.edition, tmp_path / "work", room.patience, guests)
    with tenancy.held(guests, tmp_path, print):
        done = examine(job, owner, clean(ada, wanted))
    evidence = load(store(done.body, tmp_path / "ada.evidence", room.key), room.key)
    sheet = grade(evidence, of({"notebooks": [number]}))
    short = {line.id: (line.state, line.observed) for line in sheet.lines if line.state != "passed"}
    unjudged = {line.id for line in sheet.unjudged}  # a machine that was too busy is no wrong answer
    assert set(short) == unjudged, (short, sheet.remarks)
    assert not sheet.flagged, sheet.remarks


if __name__ == "__main__":
    grade_class(Path(sys.argv[1]), GUESTS, at=THERE)
