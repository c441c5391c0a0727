"""A cluster that labkit did not make, reached by any kubeconfig, and what the course needs from it."""
