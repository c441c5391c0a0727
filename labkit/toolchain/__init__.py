"""Finds, downloads or builds the pinned programs of the control plane."""
