"""Benchmarks of the overview page and of the billing engine; see `./bench/run --help`."""
