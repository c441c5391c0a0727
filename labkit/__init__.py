"""A hands-on course on autoscaling LLM inference with Kubernetes: the library under its notebooks."""
