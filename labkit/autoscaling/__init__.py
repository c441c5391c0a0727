"""The arithmetic of the HorizontalPodAutoscaler."""
