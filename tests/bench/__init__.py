"""Benchmarks: `make bench`. Ratios are taken in one run on one machine; absolute times are that machine's."""
