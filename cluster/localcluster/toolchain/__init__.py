"""Finds, downloads or builds the pinned programs of the control plane, and keeps them for all checkouts.

`ladder.ensure(["etcd"])` and `ladder.binaries()` give paths that are ready to run; `locate.bwrap()` gives the
program that isolates containers; `wheels.wheels(requirements)` a folder of Python packages for image builds.
"""
