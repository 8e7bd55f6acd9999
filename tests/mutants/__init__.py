"""Removes one safety check at a time and expects a test to notice: `python -m tests.mutants`."""
