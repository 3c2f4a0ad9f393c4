"""What Gopher and its peers do on one machine, in one run: `make bench`."""
