"""What the API server holds a submission's pods to: `programs.yaml`, and `bounds.yaml` for what they take.

The policy is the same for all notebooks; what the course's own files run is a ConfigMap beside it, in a
namespace that students can't reach. Returns only when the API server refuses what it should: it takes
policies up a moment after they were written. Without the right to write policies, on someone else's cluster,
`programs` judges afterwards what ran.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from labkit.errors import ClusterError, Refused
from labkit.kube.client import Kube
from labkit.kube.kubectl import kubectl
from labkit_grading.judging.programs import Programs
from labkit_grading.sites.claim import GRADING
from localcluster import polling
from localcluster.api.client import Request

FILE = Path(str(files("labkit_grading.sites"))) / "programs.yaml"
BOUNDS = FILE.with_name("bounds.yaml")
POLICY = "labkit-grading"
NAME = "programs"
APPLY = ("apply", "--server-side", "--force-conflicts", "-f")
GRADERS = "the grader's to set"
"""In each sentence of the policy about what decides a measurement: a person should look at who tried it."""
SECONDS = 30.0
QUOTA = "resourcequota/bounds"
LAID = ("limitrange/bounds", QUOTA, "networkpolicy/bounds")
POLICIES = (
    f"validatingadmissionpolicybinding/{POLICY}",
    f"validatingadmissionpolicybinding/{POLICY}-services",
    f"validatingadmissionpolicy/{POLICY}",
    f"validatingadmissionpolicy/{POLICY}-services",
)


@dataclass(frozen=True)
class Terms:
    """`kube` is the grader's own."""

    kube: Kube
    programs: Programs

    def lay(self, *, may_lack: bool = False) -> bool:
        """Put them into force; False if `may_lack` and the grader has no right to write policies."""
        self.kube.ensure_namespace()
        self.kube.ensure_namespace(GRADING)
        data = self.programs.data()
        mark = hashlib.sha256(json.dumps(data).encode()).hexdigest()[:8]
        told = {**data, "mark": f"rule {mark}"}
        held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": GRADING}}
        kubeconfig = self.kube.kubeconfig
        kubectl(*APPLY, "-", kubeconfig=kubeconfig, stdin=json.dumps({**held, "data": told}))
        try:
            kubectl(*APPLY, FILE, kubeconfig=kubeconfig)
        except Refused:
            if may_lack:
                return False
            raise
        polling.until(
            lambda: self._in_force(mark), f"the policy {POLICY} to hold", seconds=SECONDS, every=0.1
        )
        return True

    def bound(self) -> None:
        """What pods may take and reach; again after each reset. Waits until the quota counts."""
        self.kube.ensure_namespace()
        kubectl(*APPLY, BOUNDS, kubeconfig=self.kube.kubeconfig)
        if self.programs.thousands:  # simulated pods that take nothing: no quota fits both them and others
            self.kube.delete(QUOTA)
        else:
            polling.until(self._counts, f"{QUOTA} to count", seconds=SECONDS, every=0.1)

    def _counts(self) -> bool:
        return self.kube.object(QUOTA).at("status.used") is not None

    def _in_force(self, mark: str) -> bool:
        """Whether a pod that no course has is refused, for this notebook's reasons."""
        spec = {"containers": [{"name": "none", "image": f"labkit.dev/none:{mark}"}]}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "none-"}, "spec": spec}
        path = f"/api/v1/namespaces/{self.kube.namespace}/pods"
        try:
            self.kube.api.send(Request(path, "POST", params={"dryRun": "All"}, body=body))
        except ClusterError as error:
            return mark in error.what
        return False


def lift(kube: Kube) -> None:
    """Remove the bounds, and the policies if they may be removed."""
    kube.delete(*LAID)
    with contextlib.suppress(ClusterError):
        kube.delete(*POLICIES)


def reaches_for(refusal: str) -> bool:
    """Whether a refusal is one of ours that a person should look at."""
    return POLICY in refusal and GRADERS in refusal
