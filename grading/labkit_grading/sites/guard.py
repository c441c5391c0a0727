"""What confines a submission on a shared cluster: `guard.yaml`, and a token.

A student's verbs are carried out with that token, so an argument that got past our checks still can't exceed
its rights. Its account is in a namespace of its own, so that no student's pod can run under it. Applied again
after each reset, which removes quotas and policies if the cluster is labkit's. Refuses a namespace without
Pod Security.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml

from labkit.errors import ProviderError
from labkit.kube import namespaces
from labkit.kube.client import Kube
from labkit.kube.kubectl import kubectl
from labkit_grading.sites.claim import GRADING
from localcluster import polling
from localcluster.api.client import Request
from localcluster.stored import write_atomically

FILE = Path(str(files("labkit_grading.sites"))) / "guard.yaml"
QUOTA = "resourcequota/class"
TOKEN = f"/api/v1/namespaces/{GRADING}/serviceaccounts/student/token"
SHORTEST = 600.0
"""Real seconds: the API server gives no token for less."""


@dataclass(frozen=True)
class Guard:
    """`kube` is the grader's own; a token is stored in `folder` and lasts this many real seconds."""

    kube: Kube
    folder: Path
    seconds: float

    def lay(self) -> None:
        """Apply all of it, and wait until the quota is counted: before that, it would refuse every pod."""
        self._refuse_without_pod_security()
        words = ("apply", "--server-side", "--force-conflicts", "-f", FILE)
        kubectl(*words, kubeconfig=self.kube.kubeconfig)  # in both of its namespaces
        polling.until(self._counts, f"{QUOTA} to count", seconds=30, every=0.1)

    def rehearse(self) -> None:
        """Raise before the first student, rather than for each, if the grader lacks the rights for this."""
        self.lay()
        self._token()

    def student(self) -> Kube:
        """The cluster, accessed with a new token of the student's account."""
        path = self.folder / "student.kubeconfig"
        write_atomically(path, self._kubeconfig(self._token()), mode=0o600)
        return Kube(path, namespace=self.kube.namespace, clock=self.kube.clock)

    def _token(self) -> str:
        asked = {"expirationSeconds": int(max(SHORTEST, self.seconds))}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": asked}
        return str(self.kube.api.send(Request(TOKEN, "POST", body=body)).json["status"]["token"])

    def _kubeconfig(self, token: str) -> str:
        """The grader's kubeconfig with another user in it."""
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
                cause="A submission could start a privileged pod, and take over the node.",
                fix=f"kubectl label namespace {self.kube.namespace} "
                f"{namespaces.ENFORCE}=baseline --overwrite",
            )


def lift(kube: Kube) -> None:
    """Remove what `reset` leaves; the student's account goes with its namespace."""
    kube.delete("rolebindings/student", "roles/student")
    kube.delete("networkpolicies/class", "limitranges/class", QUOTA)
