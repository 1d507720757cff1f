"""Measures the customer's overview page; `./bench/run --help` tells what else."""
