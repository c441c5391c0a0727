"""The provider `existing`: any cluster that a kubeconfig reaches.

Works only in namespaces with the label `labkit.dev/managed=true`, which labkit sets on those it made.
Refuses to change anything else, and starts nothing: Prometheus and an adapter must be there already, and what
is missing is named by `labkit doctor` before the first notebook.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from course.existing import in_cluster, prerequisites
from course.existing.forward import Forwards
from course.existing.prerequisites import Need
from course.existing.survey import Survey, survey
from labkit import clients
from labkit.errors import BadInput, ClusterError, NotOurs, ProviderError
from labkit.kube import namespaces
from labkit.kube.client import Kube
from labkit.kube.kubectl import kubectl
from labkit.metrics.client import Metrics
from localcluster.api.objects import KubeObject
from localcluster.layout import home
from localcluster.provider import Endpoint, Part, Report, Spec, silent
from localcluster.stored import write_atomically


class Existing:
    """A kubeconfig context of a cluster that someone else runs."""

    name = "existing"
    owns_cluster = False
    simulates = "nothing simulated by labkit"

    def __init__(self, context: str | None = None) -> None:
        self.context = context or os.environ.get("LABKIT_CONTEXT", "")

    def __repr__(self) -> str:
        return f"context {self.context or '(current)'}"

    def missing(self) -> str | None:
        """What stops the course here, with cause and fix; None if it can start."""
        try:
            stops = prerequisites.stops(self.needs())
        except (BadInput, ProviderError) as error:
            return str(error)
        return str(_error(stops[0])) if stops else None

    def needs(self) -> tuple[Need, ...]:
        """Everything that the course needs, each with what was found here."""
        return prerequisites.judge(self.survey())

    def survey(self) -> Survey:
        """What is there and what this user is allowed to do; changes nothing."""
        return survey(self._kube, prerequisites.question(registry=""), self._metrics)

    def up(self, spec: Spec, report: Report = silent) -> Path:
        """Create the labelled namespace if it is missing; nothing else is created."""
        needs = self.needs()
        for stop in prerequisites.stops(needs):
            raise _error(stop)
        if self._kube.ensure_namespace():
            report(f"namespace {namespaces.NAMESPACE} created")
        for need in needs:
            if need.missing:
                report(f"missing: {need}")
        report(f"{self!r} is ready; clock {spec.clock:g} applies only to the load")
        return self.kubeconfig()

    def transcript(self, spec: Spec) -> str:
        """The only thing that is created there."""
        context = self.context or "(current)"
        return (
            f"# On context {context}, CLOCK={spec.clock:g}: a namespace of labkit's, and nothing else.\n"
            f"kubectl create namespace {namespaces.NAMESPACE}\n"
            f"kubectl label namespace {namespaces.NAMESPACE} {namespaces.MANAGED}=true"
        )

    def down(self, report: Report = silent) -> None:
        """Delete our namespace; the cluster stays."""
        found = namespaces.find(self._kube.api, namespaces.NAMESPACE)
        if found is None or found.labels.get(namespaces.MANAGED) != "true":
            report("nothing here was made by labkit; nothing to do")
            return
        self._kube.delete_namespace()
        report(f"namespace {namespaces.NAMESPACE} deleted")

    def logs(self, into: Path) -> list[Path]:
        """The events of our namespace; the cluster's own logs belong to its owner."""
        into.mkdir(parents=True, exist_ok=True)
        target = into / "events.txt"
        target.write_text(f"{self._kube.kubectl('events')}")
        return [target]

    def kubeconfig(self) -> Path:
        """A kubeconfig whose current context is the chosen one: the user's own, or a copy with only that.

        A copy is made if a context was chosen or KUBECONFIG names several files, so that every client and
        kubectl use the same cluster; it is in labkit's folder and only this user can read it.
        """
        files = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
        if not self.context and os.pathsep not in files:
            if not Path(files).expanduser().is_file():
                raise self._unusable(f"there is no file {files}.")
            return Path(files).expanduser()
        wanted = (f"--context={self.context}",) if self.context else ()
        try:
            text = kubectl("config", "view", "--raw", "--minify", "--flatten", *wanted)
        except ClusterError as error:
            raise self._unusable(error.what) from error
        copy = home() / "existing" / (self.context.replace(os.sep, "_") or "current") / "kubeconfig"
        write_atomically(copy, text)
        return copy

    def spec(self) -> Spec:
        """What labkit assumes about a cluster that it did not make: time runs at its normal pace."""
        return Spec(name=self.context or "existing", clock=1.0)

    def prometheus(self) -> Endpoint:
        """`LABKIT_PROMETHEUS`, else its Service in namespace monitoring, through the API server."""
        url = os.environ.get("LABKIT_PROMETHEUS")
        return Endpoint(url) if url else in_cluster.prometheus(self._kube)

    def registry(self) -> None:
        """None: the cluster's images are its owner's business."""
        return

    def audit_logs(self) -> None:
        """None: audit logs are on the control plane's own disks, which labkit does not touch."""
        return

    def address(self, namespace: str, service: str, port: int) -> str:
        """Where a Service answers outside the cluster: its load balancer, or its NodePort on a node."""
        return in_cluster.address(self._kube, namespace, service, port)

    def pod_address(self, pod: KubeObject) -> str:
        """A port-forward to that pod, for its pages; empty while it isn't running. Load goes to `address`."""
        return self._forwards.address(pod) if pod.at("status.phase") == "Running" else ""

    def kill(self, pod: KubeObject) -> int:
        """Refused: the processes are on machines that are not ours."""
        raise ProviderError(
            f"The server in {pod!r} can't be killed from here.",
            cause="It runs on a node of a cluster that labkit did not create.",
            fix=f"kubectl exec {pod.name} -- kill 1, or kubectl delete {pod!r}.",
        )

    def parts(self) -> list[Part]:
        """What the course needs here: none of it is labkit's, and any part can be missing."""
        return [
            Part(need.name, need.finding.seen if need.missing else "ready", f"notebooks: {need.notebooks}")
            for need in self.needs()
        ]

    @cached_property
    def _kube(self) -> Kube:
        try:
            return clients.kube(self, namespace=namespaces.NAMESPACE)
        except BadInput as error:
            raise self._unusable(error.what) from error

    @cached_property
    def _forwards(self) -> Forwards:
        return Forwards(self._kube)

    def _metrics(self) -> Metrics:
        return clients.prometheus(self)

    def _unusable(self, what: str) -> ProviderError:
        return ProviderError(
            f"The cluster of {self!r} can't be used: {what}",
            cause="There is no kubeconfig, it is damaged, or the context is not in it.",
            fix="`kubectl config get-contexts` lists the contexts; KUBECONFIG names the file, and "
            "LABKIT_CONTEXT (or --name) the context.",
        )


def _error(need: Need) -> ProviderError:
    kind = NotOurs if need.name == "namespace" else ProviderError
    found = need.finding
    return kind(f"{found.seen}.", cause=found.cause, fix=found.fix)
