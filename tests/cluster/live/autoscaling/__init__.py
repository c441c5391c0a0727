"""The world of the tests of the HorizontalPodAutoscaler."""
