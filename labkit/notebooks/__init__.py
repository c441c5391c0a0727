"""Notebooks as files: how they are stored, run through papermill, and read back."""
