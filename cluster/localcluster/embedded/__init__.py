"""A Kubernetes control plane as plain processes of this user, on the loopback."""
