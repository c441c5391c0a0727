"""Kubernetes in a cell: nouns and verbs as kubectl says them.

`labkit.kube.clock` can be had without the Kubernetes client, so nothing is imported here:
`from labkit.kube.client import Kube`.
"""
