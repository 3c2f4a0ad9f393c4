"""Benchmarks of Gopher and its peers on one machine, in one run: `make bench`."""
