"""The provider `existing`: any cluster that a kubeconfig reaches.

Works only in namespaces that carry the label `labkit.dev/managed=true`, which labkit puts on those it made.
Refuses to delete anything else, and starts nothing: Prometheus and an adapter must be there already.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from labkit import _proc
from labkit.errors import NotOurs, ProviderError
from labkit.kube.objects import KubeObject
from labkit.providers.base import Endpoint, Part, Report, Spec, silent

LABEL = "labkit.dev/managed"
NAMESPACE = "llm-lab"


class Existing:
    """A kubeconfig context that somebody else looks after."""

    name = "existing"
    owns_cluster = False
    simulates = "nothing simulated by labkit"

    def __init__(self, context: str | None = None) -> None:
        self.context = context or os.environ.get("LABKIT_CONTEXT", "")

    def missing(self) -> str | None:
        """Whether the API server answers and lets us work."""
        if shutil.which("kubectl", path=_path()) is None:
            return "kubectl is not installed. Run `make setup`."
        if not self.kubeconfig().is_file():
            return f"There is no kubeconfig at {self.kubeconfig()}. Set KUBECONFIG to that of a cluster."
        answer = self._kubectl("auth", "can-i", "create", "deployments", "-n", NAMESPACE)
        if answer.stdout.strip() == "yes":
            return None
        said = (answer.stderr or answer.stdout).strip().splitlines()
        return (
            f"The cluster of context {self.context or '(current)'} can't be used: "
            f"{said[-1] if said else 'no answer'}. Check `kubectl config get-contexts`, then choose one with "
            "LABKIT_CONTEXT."
        )

    def up(self, spec: Spec, report: Report = silent) -> Path:
        """Make the labelled namespace, if it is not there; nothing else is created."""
        why = self.missing()
        if why:
            raise ProviderError(why)
        found = self._namespace()
        if found is None:
            manifest = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": NAMESPACE, "labels": {LABEL: "true"}},
            }
            answer = self._kubectl("create", "-f", "-", stdin=json.dumps(manifest))
            if answer.returncode:
                raise ProviderError(f"Could not create namespace {NAMESPACE}: {answer.stderr.strip()}")
            report(f"namespace {NAMESPACE} created")
        elif found["metadata"].get("labels", {}).get(LABEL) != "true":
            raise NotOurs(
                f"Namespace {NAMESPACE} exists and was not made by labkit.",
                fix=f"If it may be used: kubectl label namespace {NAMESPACE} {LABEL}=true",
            )
        report(f"context {self.context or '(current)'} is ready; clock {spec.clock:g} applies to load only")
        return self.kubeconfig()

    def transcript(self, spec: Spec) -> str:
        """The one thing that is made there."""
        context = self.context or "(current)"
        return (
            f"# On context {context}, CLOCK={spec.clock:g}: a namespace of labkit's, and nothing else.\n"
            f"kubectl create namespace {NAMESPACE}\n"
            f"kubectl label namespace {NAMESPACE} {LABEL}=true"
        )

    def down(self, report: Report = silent) -> None:
        """Delete our namespace; the cluster stays."""
        found = self._namespace()
        if found is None or found["metadata"].get("labels", {}).get(LABEL) != "true":
            report("nothing here was made by labkit; nothing to do")
            return
        self._kubectl("delete", "namespace", NAMESPACE, "--wait=true")
        report(f"namespace {NAMESPACE} deleted")

    def logs(self, into: Path) -> list[Path]:
        """Events of our namespace; the cluster's own logs belong to its owner."""
        into.mkdir(parents=True, exist_ok=True)
        target = into / "events.txt"
        target.write_text(self._kubectl("get", "events", "-n", NAMESPACE, "--sort-by=.lastTimestamp").stdout)
        return [target]

    def kubeconfig(self) -> Path:
        """The kubeconfig in use: `KUBECONFIG`, else the one in the home folder."""
        return Path(os.environ.get("KUBECONFIG", "~/.kube/config").split(os.pathsep)[0]).expanduser()

    def spec(self) -> Spec:
        """What labkit assumes of a cluster that it did not make: time runs at its own pace."""
        return Spec(name=self.context or "existing", clock=1.0)

    def prometheus(self) -> Endpoint:
        """The Prometheus named by `LABKIT_PROMETHEUS` (a URL that this machine reaches)."""
        url = os.environ.get("LABKIT_PROMETHEUS")
        if not url:
            raise ProviderError(
                "Where Prometheus answers is not known.",
                cause="labkit did not make this cluster.",
                fix="Set LABKIT_PROMETHEUS, for example after `kubectl port-forward svc/prometheus 9090`.",
            )
        return Endpoint(url)

    def registry(self) -> None:
        """Images of that cluster are its owner's business."""
        return

    def audit_logs(self) -> None:
        """Audit logs lie on the control plane's own disks, where labkit has no business."""
        return

    def address(self, namespace: str, service: str, port: int) -> str:
        """The address of a LoadBalancer, or of a NodePort on the first node."""
        answer = self._kubectl("get", "service", service, "-n", namespace, "-o", "json")
        if answer.returncode:
            raise ProviderError(answer.stderr.strip())
        found = json.loads(answer.stdout)
        ingress = found.get("status", {}).get("loadBalancer", {}).get("ingress") or []
        if ingress:
            return f"http://{ingress[0].get('ip') or ingress[0]['hostname']}:{port}"
        raise ProviderError(
            f"Service {service} has no address outside the cluster.",
            cause=f"Its type is {found['spec']['type']}.",
            fix=f"kubectl port-forward -n {namespace} svc/{service} 8080:{port}, then use http://127.0.0.1:8080.",
        )

    def pod_address(self, pod: KubeObject) -> str:
        """None: a pod of such a cluster is reached through the API server."""
        raise ProviderError(
            f"{pod!r} has no address on this machine.",
            cause="It runs on a cluster that labkit did not make.",
            fix=f"kubectl port-forward {pod!r} 8000:8000, then use http://127.0.0.1:8000.",
        )

    def kill(self, pod: KubeObject) -> int:
        """Refused: its processes are on machines that are not ours."""
        raise ProviderError(
            f"The server in {pod!r} can't be killed from here.",
            cause="It runs on a node of a cluster that labkit did not make.",
            fix=f"kubectl exec {pod.name} -- kill 1, or kubectl delete {pod!r}.",
        )

    def parts(self) -> list[Part]:
        """Nothing here is labkit's: the API server's answer is all there is to say."""
        why = self.missing()
        return [Part("kube-apiserver", why or "ready", "the only door to the cluster")]

    def _namespace(self) -> dict[str, Any] | None:
        answer = self._kubectl("get", "namespace", NAMESPACE, "-o", "json", "--ignore-not-found")
        if answer.returncode:
            raise ProviderError(f"The API server did not answer: {answer.stderr.strip()}")
        return json.loads(answer.stdout) if answer.stdout.strip() else None

    def _kubectl(self, *args: str, stdin: str | None = None) -> _proc.Finished:
        context = (f"--context={self.context}",) if self.context else ()
        env = {**os.environ, "PATH": _path()}
        try:
            return _proc.run(["kubectl", *context, *args], env=env, stdin=stdin, seconds=60)
        except _proc.TimedOut as error:
            raise ProviderError(
                f"The cluster of context {self.context or '(current)'} did not answer within a minute.",
                cause="It is off, or a VPN or a login is missing.",
                fix="Try `kubectl get nodes` by itself until that works.",
            ) from error


def _path() -> str:

    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
