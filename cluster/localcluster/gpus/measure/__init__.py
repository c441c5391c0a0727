"""Measures a timing profile on one NVIDIA GPU: `python -m localcluster.gpus.measure`. Needs torch."""
