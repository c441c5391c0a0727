"""What the course checks: pure functions from observed state to a Verdict."""
