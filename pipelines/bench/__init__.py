"""Benchmarks, as ratios taken in one run: seconds of a shared machine mean little."""
