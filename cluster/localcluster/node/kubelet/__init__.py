"""What the cluster sees of a node: its Node object and Lease, logs, exec and metrics."""
