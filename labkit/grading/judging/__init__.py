"""From what the grader saw to points: at any time later, and without a cluster."""
