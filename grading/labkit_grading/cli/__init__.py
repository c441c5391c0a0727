"""labkit grade, regrade, collect, release: what an instructor types."""
