"""Where a cluster comes from: one narrow seam, chosen by name."""
