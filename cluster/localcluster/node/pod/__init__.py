"""One pod as all its parts see it: what its node gave it, what runs, and what the API server knows."""
