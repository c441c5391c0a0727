"""Here, the cluster is one of kind."""

from tests.kind_names import cluster, namespace

__all__ = ["cluster", "namespace"]
