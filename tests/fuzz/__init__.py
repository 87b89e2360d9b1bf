"""Fuzzing of everything that reads what others wrote: see `tests.fuzz.campaign`, and ``python -m tests.fuzz --help``.

An input is a function of its target, a seed and a number alone, so that whatever is found is found again.
"""
