"""GPU feature discovery's labels on the plugin's own node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from localcluster.api.asynchronous import Api
from localcluster.errors import ClusterError

_AGAIN_SECONDS = 60.0  # one may have been removed; NVIDIA's checks once a minute, too
_RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)


async def keep(api: Api, node: str, labels: Mapping[str, str]) -> None:
    """Set the labels, repeatedly, until cancelled; retries while the API server is unreachable."""
    while True:
        try:
            await api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": dict(labels)}})
        except ClusterError as error:
            log.warning("could not label node %s: %s", node, error)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            await asyncio.sleep(_AGAIN_SECONDS)
