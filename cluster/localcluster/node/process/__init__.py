"""A container as processes of this machine: isolation, environment and limits, and what /proc says."""
