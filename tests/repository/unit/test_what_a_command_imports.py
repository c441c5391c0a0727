"""A command starts fast: it imports the HTTP clients, gRPC and Jupyter only where it uses them."""

from __future__ import annotations

import sys

import pytest

from localcluster import spawn

SLOW = {"IPython", "aiohttp", "grpc", "httpx", "kubernetes", "locust", "matplotlib", "nbformat", "papermill"}


@pytest.mark.parametrize("module", ["localcluster.cli", "labkit.cli", "localcluster.embedded.supervisor"])
def test_a_command_imports_nothing_slow_before_it_is_asked_to(module: str) -> None:
    assert not SLOW & _imported(module)


def test_the_node_agent_has_one_http_client_and_no_grpc() -> None:
    assert SLOW & _imported("localcluster.node.__main__") == {"aiohttp"}


def _imported(module: str) -> set[str]:
    words = [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"]
    return {name.partition(".")[0] for name in spawn.run(words).stdout.split()}
