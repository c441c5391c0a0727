"""The provider `existing`: a kubeconfig that can't be used is told with cause and fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from course.existing.provider import Existing
from labkit.errors import ProviderError
from labkit.kube.client import Kube
from localcluster.provider import Spec

Write = Callable[..., Path]
DEAD = "https://127.0.0.1:9"


def kubeconfig(*contexts: str, server: str = DEAD) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": contexts[0],
            "clusters": [{"name": c, "cluster": {"server": f"{server}/{c}"}} for c in contexts],
            "contexts": [{"name": c, "context": {"cluster": c, "user": "me"}} for c in contexts],
            "users": [{"name": "me", "user": {"token": "secret-token"}}],
        }
    )


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Make the user's kubeconfig (or several) and point KUBECONFIG at it."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    for name in ("LABKIT_CONTEXT", "LABKIT_PROMETHEUS"):
        monkeypatch.delenv(name, raising=False)

    def write_(*texts: str) -> Path:
        paths = [tmp_path / f"kubeconfig-{i}" for i in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        monkeypatch.setenv("KUBECONFIG", ":".join(map(str, paths)) or str(tmp_path / "nothing"))
        return tmp_path

    return write_


def refusal(context: str | None = None) -> str:
    """What `labkit up --provider existing` says; `missing` says the same."""
    why = Existing(context).missing()
    with pytest.raises(ProviderError) as error:
        Existing(context).up(Spec())
    assert str(error.value) == why
    assert error.value.cause
    assert error.value.fix
    return why


def test_no_kubeconfig_is_told_with_the_way_to_name_one(write: Write) -> None:
    write()
    assert "KUBECONFIG names the file" in refusal()


def test_a_damaged_kubeconfig_is_told(write: Write) -> None:
    write("clusters: [")
    assert "can't be used" in refusal()


def test_a_context_that_is_not_there_is_told_with_the_way_to_list_them(write: Write) -> None:
    write(kubeconfig("production"))
    told = refusal("prodution")
    assert "context prodution" in told
    assert "kubectl config get-contexts" in told


def test_an_api_server_that_does_not_answer_is_told_with_its_address(write: Write) -> None:
    write(kubeconfig("production"))
    told = refusal()
    assert f"The API server at {DEAD}/production does not answer" in told
    assert "a VPN or a login is missing" in told


def test_the_chosen_context_is_the_one_that_every_client_meets(write: Write) -> None:
    folder = write(kubeconfig("production", "staging"))
    assert Existing().kubeconfig() == folder / "kubeconfig-0"
    chosen = Existing("staging").kubeconfig()
    assert Kube(chosen).api.host == f"{DEAD}/staging"
    assert chosen.stat().st_mode & 0o777 == 0o600
    assert "production" not in chosen.read_text()
    assert yaml.safe_load((folder / "kubeconfig-0").read_text())["current-context"] == "production"


def test_several_kubeconfigs_are_one(write: Write) -> None:
    write(kubeconfig("first"), kubeconfig("second"))
    assert Kube(Existing("second").kubeconfig()).api.host == f"{DEAD}/second"
    assert Kube(Existing().kubeconfig()).api.host == f"{DEAD}/first"


def test_prometheus_behind_the_api_server_is_asked_with_the_users_own_token(write: Write) -> None:
    write(kubeconfig("production"))
    api = Kube(Existing().kubeconfig()).api
    assert api.authorization == "Bearer secret-token"
    assert api.files == (None, None, None)
