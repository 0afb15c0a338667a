"""Sonde beside its peers, one question a file; `python -m benchmarks --help` says how to ask."""
