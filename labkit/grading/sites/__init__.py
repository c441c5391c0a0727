"""Where a class is graded: clusters of the workers' own, or a guest's place on one that is there."""
