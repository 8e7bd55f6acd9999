"""Reliability as loops with an oracle: what must be there, what may be there, and how often it was tried."""
