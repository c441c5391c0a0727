"""Where a class is graded: on clusters of the workers' own, or as a guest on an existing one."""
