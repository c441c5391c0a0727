"""The state that every notebook starts from: an empty namespace, a pull secret, the model server's image.

It lets notebooks run alone and in any order. Refuses namespaces that labkit did not make.
"""

from __future__ import annotations

from collections.abc import Callable

from labkit import course, faults, pull_secret
from labkit.errors import ClusterError
from labkit.kube import namespaces, nodes
from labkit.kube.client import Kube
from localcluster import gateway, keda, kwok, polling
from localcluster.api import client as api
from localcluster.api.objects import KubeObject
from localcluster.gpus.breaking import simulated
from localcluster.gpus.handout import RESOURCE
from localcluster.gpus.sharing import MIG_CONFIG, MIG_STRATEGY, PLUGIN_CONFIG
from localcluster.images import blocking
from localcluster.images.build import Request, build
from localcluster.images.builders import build_with
from localcluster.images.credentials import Credentials
from localcluster.images.failure import NotFound
from localcluster.images.pull import remote_digest
from localcluster.images.push import publish
from localcluster.images.reference import parse
from localcluster.images.registry import Mirror
from localcluster.images.store import Store
from localcluster.provider import Machines, Provider, RegistryAccess

Report = Callable[[str], None]
PULL_SECRET = pull_secret.NAME
IMAGE = "llm-inference:1.0"
GRACE = "--grace-period=1"  # leftovers have no users: nothing to drain
COURSE = "labkit.dev/course"
WORK = (
    "hpa,deployments,statefulsets,daemonsets,cronjobs,jobs,replicasets,pods,services,poddisruptionbudgets,"
    "configmaps,persistentvolumeclaims"
)
RULES = "secrets,resourcequotas,limitranges,networkpolicies"
"""On someone else's cluster these belong to its owner: pull credentials, quotas, network policies."""


def run(kube: Kube, provider: Provider, report: Report) -> None:
    """Reset everything. Images are left to the owner of a cluster without a registry of its own."""
    if isinstance(provider, Machines):  # first, since pods on a node without power never finish deleting
        for name in provider.restore_nodes():
            report(f"{name} is on again")
    for name in faults.lift(kube):
        report(f"restoring {name}, which an earlier run had broken")
    keda.remove(kube.api, provider, report=report)
    gateway.remove(provider)
    clear(kube, report, owned=provider.owns_cluster)
    kwok.remove(kube.api, provider, report=report)
    if provider.owns_cluster:
        nodes.tidy(kube)
    access = provider.registry()
    if access is not None:
        model_image(access, report)
        pull_secret.make(kube, access, name=PULL_SECRET)
        pull_secret.give(kube, PULL_SECRET)  # so that `kubectl run` finds the lab's images


def clear(kube: Kube, report: Report, *, owned: bool = True) -> None:
    """Empty the namespace. On a cluster that labkit did not make, keep secrets, quotas and policies.

    The namespace itself stays: deleting one takes 5 real seconds, whatever CLOCK says.
    """
    kube.ensure_namespace()  # comes first: it refuses a namespace that is not ours
    left = len(kube.objects("pods"))
    if left:
        report(f"deleting {left} pods of an earlier run")
    _orphans(kube)
    contents = f"{WORK},{RULES}" if owned else WORK
    kube.kubectl("delete", contents, "--all", GRACE, "--wait=true", "--timeout=60s")
    cluster_wide(kube, report)
    # A ReplicaSet may have replaced a pod while the ReplicaSet itself was being deleted.
    kube.until("pods total=0", seconds=60)
    # One request for all of them: kubectl deletes one by one, which took 13 s for 72 events.
    kube.api.send(api.Request(f"/api/v1/namespaces/{kube.namespace}/events", "DELETE"))
    labels = [f"{key}={value}" for key, value in namespaces.LABELS.items()]
    labels += [f"{key}-" for key in namespaces.DROPPED]
    kube.kubectl("label", "namespace", kube.namespace, *labels, "--overwrite")
    account = "the namespace's default service account"
    polling.until(lambda: kube.find("serviceaccount/default"), account, seconds=30)


def _orphans(kube: Kube) -> None:
    """Delete pods of nodes that are gone: no kubelet reports that they ended, and PodGC takes a minute."""
    try:
        nodes = {"", *(node.name for node in kube.objects("nodes"))}
    except ClusterError:  # a user who isn't allowed to list nodes has removed none
        return
    if pods := [pod.name for pod in kube.objects("pods") if pod.at("spec.nodeName", "") not in nodes]:
        kube.kubectl("delete", "pods", *pods, "--grace-period=0", "--force", "--ignore-not-found")


def cluster_wide(kube: Kube, report: Report) -> None:
    """Delete the course's priority classes and restore its nodes; only labels identify them as ours."""
    try:
        kube.kubectl("delete", "priorityclasses", "--selector", COURSE)
        for node in filter(simulated, kube.objects("nodes")):
            _as_it_was(kube, node, report)
    except ClusterError as error:  # a learner who isn't allowed to list them has changed none
        report(f"nodes and priority classes are left as they are: {error.what}")


def _as_it_was(kube: Kube, node: KubeObject, report: Report) -> None:
    """Make a node schedulable again, with undivided GPUs."""
    if node.at("spec.unschedulable"):
        kube.kubectl("uncordon", node.name)
    if divided := [key for key in (PLUGIN_CONFIG, MIG_CONFIG) if key in node.labels]:
        report(f"undoing the division of GPUs on {node.name}")
        kube.kubectl("label", "node", node.name, *(f"{key}-" for key in divided))
        polling.until(lambda: _whole(kube, node.name), f"undivided GPUs on {node.name}", seconds=30)


def _whole(kube: Kube, name: str) -> bool:
    labels = kube.object(f"node/{name}").labels
    return labels.get(f"{RESOURCE}.replicas") == "1" and MIG_STRATEGY not in labels


def model_image(access: RegistryAccess, report: Report) -> str:
    """Build the model server (all cached) and push it, unless the registry has it; returns its digest."""
    ref = parse(f"{access.host}/{IMAGE}")
    report(f"building {ref.path} from cluster/images/model-server (seconds, once per machine)")
    store = Store()
    asked, builder = Request(course.root() / "cluster" / "images" / "model-server", ref), access.builder
    image = build_with(builder, asked, store, quiet=True) if builder else build(asked, store)
    try:
        job = remote_digest(ref, mirrors=[Mirror.of(access)], credentials=Credentials.of(access))
        there = blocking.run(job)
    except NotFound:
        there = ""
    if there != image.digest:
        report(f"pushing {ref.path} to the lab's registry")
        publish(ref, access, store)
    return image.digest
