"""Kubernetes in a cell: nouns and verbs as kubectl says them."""
