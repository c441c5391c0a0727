"""What every notebook starts from: an empty namespace, a pull secret, and the model server's image.

So that notebooks run alone and in any order. Refuses namespaces that labkit did not make.
"""

from __future__ import annotations

from collections.abc import Callable

from labkit import _wait, course, faults, kwok, pull_secret
from labkit.doctor import prerequisites
from labkit.errors import ClusterError, Refused
from labkit.gpus.handout import RESOURCE
from labkit.gpus.sharing import MIG_CONFIG, MIG_STRATEGY, PLUGIN_CONFIG
from labkit.images import blocking
from labkit.images.build import Request, build
from labkit.images.builders import build_with
from labkit.images.credentials import Credentials, Login
from labkit.images.failure import NotFound
from labkit.images.pull import remote_digest
from labkit.images.push import push
from labkit.images.reference import parse
from labkit.images.registry import Mirror
from labkit.images.store import Store
from labkit.kube import api, namespaces, nodes
from labkit.kube.client import Kube, Which
from labkit.kube.objects import KubeObject
from labkit.providers.base import Machines, Provider, RegistryAccess

Report = Callable[[str], None]
PULL_SECRET = prerequisites.PULL_SECRET
IMAGE = "llm-inference:1.0"
GRACE = "--grace-period=1"  # leftovers have no users: nothing to drain
COURSE, SIMULATED = "labkit.dev/course", "labkit.dev/simulated=true"
WORK = (
    "hpa,deployments,statefulsets,daemonsets,cronjobs,jobs,replicasets,pods,services,poddisruptionbudgets,"
    "configmaps,persistentvolumeclaims"
)
RULES = "secrets,resourcequotas,limitranges,networkpolicies"
"""On a cluster of somebody else's these are their rules: the login that pulls images, what may be taken."""


def run(kube: Kube, provider: Provider, report: Report) -> None:
    """All of it; where the cluster has no registry of its own, images are its owner's business."""
    if isinstance(provider, Machines):  # first, or pods of a node without power would never be gone
        for name in provider.restore_nodes():
            report(f"brought back {name}")
    for name in faults.lift(kube):
        report(f"putting back {name}, which an earlier run had broken")
    clear(kube, report, owned=provider.owns_cluster)
    kwok.remove(kube, provider, report=report)
    if provider.owns_cluster:
        nodes.tidy(kube)
    access = provider.registry()
    if access is not None:
        model_image(access, report)
        pull_secret.make(kube, access, name=PULL_SECRET)


def clear(kube: Kube, report: Report, *, owned: bool = True) -> None:
    """Empty the namespace; its owner's secrets, quotas and policies stay where the cluster is not labkit's.

    It is not deleted: a namespace takes 5 real seconds to go, whatever CLOCK says.
    """
    kube.ensure_namespace()  # first of all: refuses a namespace that is not ours
    left = len(kube.objects("pods"))
    if left:
        report(f"taking away {left} pods of an earlier run")
    _orphans(kube)
    contents = f"{WORK},{RULES}" if owned else WORK
    kube.kubectl("delete", contents, "--all", GRACE, "--wait=true", "--timeout=60s")
    cluster_wide(kube, report)
    # A ReplicaSet may have replaced a pod while it was being deleted itself.
    kube.until("pods total=0", seconds=60)
    # All in one request: kubectl deletes one after the other, and 72 events took it 13 s.
    kube.api.send(api.Request(f"/api/v1/namespaces/{kube.namespace}/events", "DELETE"))
    labels = [f"{key}={value}" for key, value in namespaces.LABELS.items()]
    kube.kubectl("label", "namespace", kube.namespace, *labels, "--overwrite")
    account = "the namespace's default service account"
    _wait.until(lambda: _exists(kube, "serviceaccount/default"), account, seconds=30)


def _orphans(kube: Kube) -> None:
    """Delete the pods of nodes that are gone: no kubelet tells that they ended, and PodGC takes a minute."""
    try:
        nodes = {"", *(node.name for node in kube.objects("nodes"))}
    except ClusterError:  # whoever may not list nodes has taken none away
        return
    if pods := [pod.name for pod in kube.objects("pods") if pod.at("spec.nodeName", "") not in nodes]:
        kube.kubectl("delete", "pods", *pods, "--grace-period=0", "--force", "--ignore-not-found")


def cluster_wide(kube: Kube, report: Report) -> None:
    """What the course leaves outside of namespaces; only a label tells it from that of others."""
    try:
        kube.kubectl("delete", "priorityclasses", "--selector", COURSE)
        for node in kube.objects("nodes", which=Which(SIMULATED)):
            _as_it_was(kube, node, report)
    except ClusterError as error:  # a learner who may not even list them has changed none
        report(f"nodes and priority classes are left as they are: {error.what}")


def _as_it_was(kube: Kube, node: KubeObject, report: Report) -> None:
    """Open to pods, its GPUs whole."""
    if node.at("spec.unschedulable"):
        kube.kubectl("uncordon", node.name)
    if divided := [key for key in (PLUGIN_CONFIG, MIG_CONFIG) if key in node.labels]:
        report(f"making the GPUs of {node.name} whole again")
        kube.kubectl("label", "node", node.name, *(f"{key}-" for key in divided))
        _wait.until(lambda: _whole(kube, node.name), f"whole GPUs on {node.name}", seconds=30)


def _whole(kube: Kube, name: str) -> bool:
    labels = kube.object(f"node/{name}").labels
    return labels.get(f"{RESOURCE}.replicas") == "1" and MIG_STRATEGY not in labels


def model_image(access: RegistryAccess, report: Report) -> None:
    """Build the model server (every step is cached) and push it, unless the registry has this very image."""
    ref = parse(f"{access.host}/{IMAGE}")
    mirrors = [Mirror(access.host, access.url, str(access.ca))]
    logins = Credentials({access.host: Login(access.username, access.password)})
    report(f"building {ref.path} from cluster/images/model-server (seconds, once per machine)")
    store = Store()
    request = Request(course.root() / "cluster" / "images" / "model-server", ref)
    image = (
        build_with(access.builder, request, store, quiet=True) if access.builder else build(request, store)
    )
    try:
        there = blocking.run(remote_digest(ref, mirrors=mirrors, credentials=logins))
    except NotFound:
        there = ""
    if there != image.digest:
        report(f"pushing {ref.path} to the lab's registry")
        blocking.run(push(ref, store=store, mirrors=mirrors, credentials=logins))


def _exists(kube: Kube, target: str) -> bool:
    try:
        kube.object(target)
    except Refused as error:
        if error.reason == "NotFound":
            return False
        raise
    return True
