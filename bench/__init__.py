"""Benchmarks of fastnn and its peers, side by side in one run; README.md is the protocol."""
