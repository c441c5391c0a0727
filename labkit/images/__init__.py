"""OCI images: build, push, pull, inspect; no Docker needed."""
