"""The commands that the course adds to labkit: each module is a group of that name."""
