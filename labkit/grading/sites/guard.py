"""What holds a submission to its place on a cluster of others: `cluster/grading/guard.yaml`, and a token.

A student's verbs are carried out with that token: what it may not do, no argument that got past us does. Its
account is in a namespace of its own, so that no pod of a student's can be started under it. Laid anew after
each reset, which takes quotas and policies away where the cluster is labkit's. Refuses a namespace without
Pod Security.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from labkit import _wait, course
from labkit._proc import write_atomically
from labkit.errors import ProviderError
from labkit.grading.sites.claim import GRADING
from labkit.kube import namespaces
from labkit.kube.api import Request
from labkit.kube.client import Kube
from labkit.kube.kubectl import kubectl

FILE = Path("cluster/grading/guard.yaml")
QUOTA = "resourcequota/class"
TOKEN = f"/api/v1/namespaces/{GRADING}/serviceaccounts/student/token"
SHORTEST = 600.0
"""Real seconds: the API server gives no token for less."""


@dataclass(frozen=True)
class Guard:
    """`kube` is the grader's own; a token lies in `folder` and lasts for so many real seconds."""

    kube: Kube
    folder: Path
    seconds: float

    def lay(self) -> None:
        """Put it there, whole, and wait until the quota counts: before, it would refuse every pod."""
        self._refuse_without_pod_security()
        words = ("apply", "--server-side", "--force-conflicts", "-f", course.root() / FILE)
        kubectl(*words, kubeconfig=self.kube.kubeconfig)  # in both of its namespaces
        _wait.until(self._counts, f"{QUOTA} to count", seconds=30, every=0.1)

    def rehearse(self) -> None:
        """Raise before the first student, and not for each, where the grader may not do this."""
        self.lay()
        self._token()

    def student(self) -> Kube:
        """The cluster, by a new token of the student's account."""
        path = self.folder / "student.kubeconfig"
        write_atomically(path, self._kubeconfig(self._token()), mode=0o600)
        return Kube(path, namespace=self.kube.namespace, clock=self.kube.clock)

    def _token(self) -> str:
        asked = {"expirationSeconds": int(max(SHORTEST, self.seconds))}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": asked}
        return str(self.kube.api.send(Request(TOKEN, "POST", body=body)).json["status"]["token"])

    def _kubeconfig(self, token: str) -> str:
        """The grader's, with another user in it."""
        text = kubectl("config", "view", "--raw", "--minify", "--flatten", kubeconfig=self.kube.kubeconfig)
        config = yaml.safe_load(text)
        name = config["contexts"][0]["context"]["user"]
        return yaml.safe_dump({**config, "users": [{"name": name, "user": {"token": token}}]})

    def _counts(self) -> bool:
        return self.kube.object(QUOTA).at("status.used") is not None

    def _refuse_without_pod_security(self) -> None:
        there = namespaces.find(self.kube.api, self.kube.namespace)
        level = there.labels.get(namespaces.ENFORCE, "") if there else ""
        if level not in {"baseline", "restricted"}:
            raise ProviderError(
                f"Namespace {self.kube.namespace} enforces no Pod Security: {level or 'no label'}.",
                cause="A submission could start a privileged pod, and have the node.",
                fix=f"kubectl label namespace {self.kube.namespace} "
                f"{namespaces.ENFORCE}=baseline --overwrite",
            )


def lift(kube: Kube) -> None:
    """Take away what `reset` leaves; the student's account goes with its namespace."""
    kube.delete("rolebindings/student", "roles/student")
    kube.delete("networkpolicies/class", "limitranges/class", QUOTA)
