"""A container as processes of this machine: its walls, environment and bounds, and what /proc says."""
