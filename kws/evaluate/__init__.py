"""Measure a detector on streams, through the decision that ships: FRR, false accepts per hour, latency, DET curve."""
