"""References are read as Docker reads them."""

from __future__ import annotations

import pytest

from labkit.errors import ImageError
from localcluster.images.reference import parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("my-registry/llm-inference", "docker.io/my-registry/llm-inference:latest"),
        ("my-registry/llm-inference:latest", "docker.io/my-registry/llm-inference:latest"),
        ("registry.lab:5000/llm-inference", "registry.lab:5000/llm-inference:latest"),
        ("registry.lab:5000/llm-inference:v1", "registry.lab:5000/llm-inference:v1"),
        ("localhost/a", "localhost/a:latest"),
        ("host:5000/a/b_c/d__e-f:1.0-x_Y", "host:5000/a/b_c/d__e-f:1.0-x_Y"),
        ("ghcr.io/team/a@" + DIGEST, "ghcr.io/team/a@" + DIGEST),
        ("a:v1@" + DIGEST, "docker.io/library/a:v1@" + DIGEST),
        ("index.docker.io/a", "docker.io/library/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
    ],
)
def test_what_a_reference_means(text: str, whole: str) -> None:
    assert str(parse(text)) == whole


@pytest.mark.parametrize(
    "text",
    [
        "",
        "UPPER",
        "docker.io/Upper",
        "a:",
        "a:-x",
        "a//b",
        "a/-b",
        "a@sha256:12",
        "a b",
        "-.com/a",
        "a:" + "t" * 129,
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ImageError, match="Invalid image reference"):
        parse(text)


def test_a_digest_wins_over_a_tag() -> None:
    assert parse("a:v1@" + DIGEST).version == DIGEST
    assert str(parse("a:v1").at(DIGEST)) == "docker.io/library/a@" + DIGEST
