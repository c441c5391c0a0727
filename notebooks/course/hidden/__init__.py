"""What a learner's edition leaves out: the cases on which functions are tried where they are graded."""
