"""Turns what the grader saw into points, at any later time and without a cluster."""
