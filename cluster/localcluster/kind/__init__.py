"""A cluster of Docker containers, made by kind: everything but the GPUs is real."""
