"""Kubernetes in a cell: nouns and verbs as in kubectl.

>>> from labkit.kube import Kube
"""

from labkit.kube.apply import Applied
from labkit.kube.client import Kube, Which
from localcluster.api.objects import KubeObject, Table
from localcluster.api.watch import Change

__all__ = ["Applied", "Change", "Kube", "KubeObject", "Table", "Which"]
