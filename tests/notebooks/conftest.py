"""Uses the lab that runs (LABKIT_HOME, LABKIT_LAB); starts one for the session where none does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.errors import ProviderError
from labkit.providers import catalog
from labkit.providers.base import Spec


@pytest.fixture(scope="session", autouse=True)
def lab() -> Iterator[None]:
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
