"""Every line of docs/kubectl.md, typed in a terminal at one lab, in the page's order."""

from __future__ import annotations

import base64
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from labkit import reset
from labkit.kube import Kube
from labkit.lab import NAMESPACE
from localcluster import polling
from localcluster.api.kubectl import binary
from localcluster.embedded.provider import Embedded
from tests.cluster.live.habits.habit import END, INTERRUPT, Habit
from tests.cluster.live.habits.table import IMAGE, SECTIONS

pytestmark = pytest.mark.embedded

HABITS = [habit for habits in SECTIONS.values() for habit in habits]
MANIFEST = Path(__file__).parent / "habits" / "web.yaml"
SECONDS = 90.0
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True)
class Desk:
    """A folder to type in, and where kubectl finds the lab."""

    folder: Path
    env: dict[str, str]

    def spawn(self, typed: str) -> pexpect.spawn:
        """In a terminal of 91 columns and 31 rows."""
        words = ["--norc", "-c", typed]
        frame = {"dimensions": (31, 91), "timeout": SECONDS, "encoding": "utf-8"}
        return pexpect.spawn("/bin/bash", words, cwd=str(self.folder), env=self.env, **frame)

    def run(self, typed: str) -> str:
        """To its end."""
        child = self.spawn(typed)
        child.expect(pexpect.EOF)
        child.close()
        return str(child.before)


def request_of(user: str) -> str:
    """The manifest of a CertificateSigningRequest."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user)])
    asked = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = base64.b64encode(asked.public_bytes(serialization.Encoding.PEM)).decode()
    signer = "kubernetes.io/kube-apiserver-client"
    return (
        f"apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {{name: {user}}}\n"
        f"spec: {{request: {pem}, signerName: {signer}, usages: [client auth]}}\n"
    )


@pytest.fixture(scope="module")
def desk(cluster: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    kube = Kube(cluster.kubeconfig(), namespace=NAMESPACE, clock=cluster.spec().clock)
    reset.run(kube, cluster, print)
    kubeconfig = shutil.copy(cluster.kubeconfig(), folder / "config")
    shutil.copy(MANIFEST, folder)
    (folder / "kustomization.yaml").write_text("resources: [web.yaml]\n")
    (folder / "csr.yaml").write_text(request_of("ada"))
    path = f"{binary().parent}:{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(folder), "KUBECONFIG": str(kubeconfig), "TERM": "xterm", "LC_ALL": "C"}
    made = Desk(folder, env)
    made.run(f"kubectl config set-context --current --namespace={NAMESPACE}; kubectl apply -f web.yaml")
    kube.until("deployment/web available", "pod/tool ready", "pods restarts>=1", seconds=90)
    yield made
    reset.clear(kube, print)


def typed(desk: Desk, habit: Habit) -> tuple[str, int | None]:
    """What the terminal showed, and the exit status."""
    child = desk.spawn(f"{habit.first}\n{habit.typed}")
    shown = ""
    for expected, keys in habit.keys:
        child.expect(expected)
        shown += str(child.before) + str(child.after)
        child.send(keys)
    child.expect(pexpect.EOF)
    shown += str(child.before)
    child.close()
    return _COLOUR.sub("", shown).replace("\r\n", "\n"), child.exitstatus


@pytest.mark.parametrize("habit", HABITS, ids=[habit.typed for habit in HABITS])
def test_a_habit(desk: Desk, habit: Habit) -> None:
    shown, status = "", None

    def as_the_page_says() -> bool:
        nonlocal shown, status
        shown, status = typed(desk, habit)
        right = habit.status is None or status == habit.status
        return right and bool(re.search(habit.says, shown))

    if habit.tries:
        polling.until(as_the_page_says, habit.typed, seconds=60, every=1, last_seen=lambda: shown)
    else:
        assert as_the_page_says(), f"exit status {status}\n{shown}"


def test_the_terminal_of_exec_is_resized_with_the_window(desk: Desk) -> None:
    desk.run(
        f"kubectl run screen --image={IMAGE} --command -- sleep 1000;"
        "kubectl wait --for=condition=Ready pod/screen"
    )
    child = desk.spawn("kubectl exec -it screen -- bash")
    child.expect("[$#] ")
    child.setwinsize(44, 120)
    child.sendline("until [ \"$(stty size)\" = '44 120' ]; do :; done; echo it is $((6 * 20))")
    child.expect("it is 120")
    child.sendline("sh -c 'echo asleep; sleep 1000'")
    child.expect(r"asleep\s*\n")
    child.send("\x1a")
    child.expect("Stopped")
    child.sendline("fg")
    child.expect(r"fg\s(.|\n)*sleep 1000")
    child.send(INTERRUPT)
    child.expect("[$#] $")
    child.send(END)
    child.expect(pexpect.EOF)
    assert "Cannot set tty process group" not in str(child.before)
