"""The parts of `benchmarks/votes.py`."""
