"""KEDA and the gateway in pods of kind: they do what they do beside the embedded lab, by the same tests."""

from __future__ import annotations

import pytest

from labkit import pull_secret, reset
from labkit.kube import Kube
from localcluster.kind.provider import Kind
from localcluster.toolchain import ladder
from tests.cluster.live import test_gateway, test_keda
from tests.cluster.live.test_gateway import (
    servers,
    test_a_request_wakes_a_service_that_sleeps_and_is_itself_answered,
    test_a_stream_comes_event_by_event,
    url,
)
from tests.cluster.live.test_keda import (
    test_a_live_hpa_changes_its_owner_and_loses_neither_its_uid_nor_a_pod,
    test_a_metric_of_prometheus_wakes_it_scales_it_and_lets_it_sleep,
    with_keda,
)

__all__ = [
    "servers",
    "test_a_live_hpa_changes_its_owner_and_loses_neither_its_uid_nor_a_pod",
    "test_a_metric_of_prometheus_wakes_it_scales_it_and_lets_it_sleep",
    "test_a_request_wakes_a_service_that_sleeps_and_is_itself_answered",
    "test_a_stream_comes_event_by_event",
    "url",
    "with_keda",
]

BUILT = len(ladder.Ladder().look(test_keda.NAMES)) == len(test_keda.NAMES)
LACKS = test_gateway.missing() or ("" if BUILT else "KEDA is not built here")
pytestmark = [
    pytest.mark.kind,
    pytest.mark.long,
    pytest.mark.skipif(bool(LACKS), reason=LACKS or "all is here"),
]


@pytest.fixture
def namespace(cluster: Kind, kind_namespace: Kube) -> Kube:
    """A namespace whose pods can pull the model server's image."""
    access = cluster.registry()
    reset.model_image(access, print)
    pull_secret.make(kind_namespace, access, name=pull_secret.NAME)
    pull_secret.give(kind_namespace, pull_secret.NAME)
    return kind_namespace
