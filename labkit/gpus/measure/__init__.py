"""Measures a timing profile on one NVIDIA GPU: `python -m labkit.gpus.measure`. It alone needs torch."""
