"""Load on a model server: locust in a process of its own, traces, and what came of it."""
