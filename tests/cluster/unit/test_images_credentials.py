"""Pull secrets by the kubelet's words: the same logins in the same order, on random secrets and images.

The kubelet's own keyring answers (k8s.io/kubernetes/pkg/credentialprovider).
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping
from typing import Any

import pytest

from labkit.errors import ImageError
from localcluster.images.credentials import CONFIG_JSON, DOCKERCFG, Credentials, Login
from localcluster.images.places import place
from localcluster.images.reference import parse
from tests.oracles.program import Oracle, oracle

Secret = dict[str, Any]
LOGIN = {"username": "u", "password": "p"}


def secret(text: str | Mapping[str, Any], kind: str = CONFIG_JSON) -> Secret:
    """A pull secret as the API server returns it."""
    key = ".dockercfg" if kind == DOCKERCFG else ".dockerconfigjson"
    data = text if isinstance(text, str) else json.dumps(text)
    return {"type": kind, "data": {key: base64.b64encode(data.encode()).decode()}}


def auths(entries: Mapping[str, Any]) -> Secret:
    return secret({"auths": entries})


def found(image: str, *secrets: Secret) -> list[Login] | None:
    """The logins that are tried; None if a secret can't be read."""
    logins = Credentials()
    try:
        for one in secrets:
            logins = logins.plus(Credentials.of_secret(one) or Credentials())
    except ImageError:
        return None
    return logins.matching(parse(image))


@pytest.mark.parametrize(
    ("key", "image", "fits"),
    [
        ("registry.lab:5000", "registry.lab:5000/a", True),
        ("https://registry.lab:5000/v2/", "registry.lab:5000/a", True),
        ("https://registry.lab:5000/v2", "registry.lab:5000/a", False),
        ("registry.lab", "registry.lab:5000/a", False),
        ("registry.lab:443", "registry.lab/a", False),
        ("https://index.docker.io/v1/", "a", True),
        ("docker.io", "my-registry/llm-inference", True),
        ("registry-1.docker.io", "a", False),
        ("registry.lab:5000", "my-registry/llm-inference", False),
        ("*.example.com", "eu.example.com/a", True),
        ("*.example.com", "a.eu.example.com/a", False),
        ("*-docker.pkg.dev", "eu-docker.pkg.dev/a/b", True),
        ("ghcr.io/team", "ghcr.io/team/a", True),
        ("ghcr.io/team", "ghcr.io/teams/a", True),  # the path is a prefix of the text
        ("ghcr.io/team/", "ghcr.io/teams/a", False),
        ("ghcr.io/team/a/b", "ghcr.io/team/a", False),
    ],
)
def test_which_login_fits_an_image(key: str, image: str, *, fits: bool) -> None:
    assert found(image, auths({key: LOGIN})) == ([Login("u", "p")] if fits else [])


def encoded(text: str, width: int = 76) -> str:
    """Base64 in lines, as `base64` writes it."""
    whole = base64.b64encode(text.encode()).decode()
    return "\n".join(whole[at : at + width] for at in range(0, len(whole), width))


@pytest.mark.parametrize(
    ("entry", "login"),
    [
        ({"auth": encoded("u:p")}, Login("u", "p")),
        ({"auth": encoded("u:p:q")}, Login("u", "p:q")),
        ({"auth": encoded("user:p").rstrip("=")}, Login("user", "p")),
        ({"auth": encoded("user:" + "p" * 90)}, Login("user", "p" * 90)),
        ({"auth": encoded("user:" + "p" * 91).rstrip("=") + "\n"}, Login("user", "p" * 91)),
        ({"auth": encoded("u:p"), "username": "other", "password": "too"}, Login("u", "p")),
        ({"auth": "", "username": "u", "password": "p"}, Login("u", "p")),
        ({"Username": "u", "PASSWORD": "p", "email": None}, Login("u", "p")),
        ({}, Login("", "")),
    ],
)
def test_a_login_is_written_in_several_ways(entry: Mapping[str, Any], login: Login) -> None:
    assert found("a.io/b", auths({"a.io": entry})) == [login]
    assert found("a.io/b", secret({"a.io": entry}, DOCKERCFG)) == [login]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"auths": []}',
        '{"auths": {"a": 1}}',
        '{"auths": {"a": {"username": 1}}}',
        '{"auths": {"a": {"auth": "%%%"}}}',
        '{"auths": {"a": {"auth": "dQ=="}}}',  # no colon
        '{"auths": {"a": {"auth": "dTpw "}}}',
        '{"auths": {"a": {"auth": "dTpw="}}}',
        '{"auths": {"a": {"auth": "dT=pw"}}}',
    ],
)
def test_credentials_that_are_none(text: str) -> None:
    with pytest.raises(ImageError, match="are not valid"):
        Credentials.from_json(text)


def test_a_secret_of_another_type_is_none() -> None:
    assert Credentials.of_secret(auths({"a.io": LOGIN}) | {"type": "Opaque"}) is None
    assert Credentials.of_secret(auths({"a.io": LOGIN}) | {"type": DOCKERCFG}) is None
    assert Credentials.of_secret({"type": CONFIG_JSON}) is None


def test_several_logins_for_one_host_are_all_tried() -> None:
    names = ["first", "second", "third"]
    secrets = [auths({"ghcr.io": {"username": name}}) for name in names[:2]]
    secrets += [auths({"ghcr.io/team": {"username": "team"}, "https://ghcr.io": {"username": names[2]}})]
    assert [login.username for login in found("ghcr.io/team/a", *secrets) or ()] == ["team", *names]


# Against the kubelet's keyring ------------------------------------------------------------------------------

# fmt: off
KEYS = (
    "ghcr.io", "a.ghcr.io", "docker.io", "index.docker.io", "registry-1.docker.io", "localhost",
    "reg.lab:5000", "*.io", "gh*r.io", "*", "*.*", "*.lab:5000", "reg.lab:*", "reg.lab", "GHCR.io",
    "u@ghcr.io", "gh cr.io",
    "[::1]", "ghcr.io:443", "ghcr.io:", "ghcr.io:x", "[g]hcr.io", "ghcr.io\\", "", "g\u00e9.io", "a..io",
)
PATHS = (
    "", "", "", "/", "/v1/", "/v2/", "/v1", "/v2/team", "/v1//team", "/v2/v1/team", "/team", "/tea",
    "/team/",
    "/*", "//team", "/team/app", "/team/app/x", "/te%61m", "/%zz", "/team?x", "?x=1", "#x", "/library",
)
SCHEMES = ("", "", "", "https://", "http://", "HTTPS://", "ftp://")
IMAGES = (
    "ghcr.io/team/app", "ghcr.io/teams/app", "a.ghcr.io/app", "app", "team/app", "localhost/team/app",
    "reg.lab:5000/team/app", "reg.lab/app", "localhost:5000/app",
)
# fmt: on


@pytest.fixture(scope="module")
def keyring() -> Oracle:
    return oracle("keyring")


def entry(rng: random.Random, name: str) -> Any:
    """A login with this name, in one of the ways to write it; rarely one that is wrong."""
    plain = {"username": name, "password": "p:w", "email": "a@b"}
    auth = base64.b64encode(f"{name}:{'x' * rng.randint(0, 80)}".encode()).decode()
    cut = rng.randint(1, len(auth))
    ways: list[Any] = [plain, {"auth": auth}, plain | {"auth": auth}, {"auth": auth.rstrip("=")}]
    ways += [{"auth": f"{auth[:cut]}\n{auth[cut:]}"}, {"auth": auth + "\r\n"}, {"Auth": auth, "extra": [1]}]
    if rng.random() < 0.1:
        ways = [None, {}, 1, {"auth": "%"}, {"auth": auth + "="}, {"auth": "dQ"}, {"auth": f" {auth}"}]
        ways += [{"username": 3}, {"auth": f"{auth[:cut]}={auth[cut:]}"}, {"auth": None, "username": name}]
    return rng.choice(ways)


def some(rng: random.Random, number: int) -> Secret:
    """A pull secret with a few entries, each for another place: Go's maps have no order."""
    entries = {}
    for at in range(rng.randint(0, 3)):
        entries[rng.choice(SCHEMES) + rng.choice(KEYS) + rng.choice(PATHS)] = entry(rng, f"u{number}{at}")
    if len({place(key) for key in entries}) < len(entries):
        return some(rng, number)
    kind = rng.choice([CONFIG_JSON, CONFIG_JSON, DOCKERCFG, "Opaque"])
    return secret(entries if kind == DOCKERCFG else {rng.choice(["auths", "auths", "Auths"]): entries}, kind)


def test_random_secrets_give_the_logins_that_a_kubelet_tries(keyring: Oracle) -> None:
    rng = random.Random(1)
    cases = [(rng.choice(IMAGES), [some(rng, n) for n in range(rng.randint(1, 3))]) for _ in range(4000)]
    questions = [{"image": parse(image).name, "secrets": secrets} for image, secrets in cases]
    fitting = 0
    for (image, secrets), theirs in zip(cases, keyring.ask(questions), strict=True):
        ours = found(image, *secrets)
        if "error" in theirs:
            assert ours is None, (image, secrets, theirs)
        else:
            wanted = [Login(one["Username"], one["Password"]) for one in theirs["answer"]]
            assert ours == wanted, (image, secrets, theirs)
            fitting += bool(wanted)
    assert fitting > 250
