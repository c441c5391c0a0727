"""How like kind the embedded cluster is: one seeded scenario on both, and every difference named."""
