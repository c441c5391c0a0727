"""Uses the lab that runs (LABKIT_HOME, LABKIT_LAB); starts one for the session where none does.

Under pytest-xdist (`-n`) every worker has a lab of its own, `tests-gw0` and so on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from labkit.errors import ProviderError
from localcluster import catalog
from localcluster.provider import Spec


@pytest.fixture(scope="session", autouse=True)
def lab() -> Iterator[None]:
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ["LABKIT_LAB"] = f"tests-{worker}"  # seen by the kernels, too
    provider = catalog.get("embedded")
    try:
        provider.kubeconfig()
        started = False
    except ProviderError:
        provider.up(Spec())
        started = True
    yield
    if started:
        provider.down()
