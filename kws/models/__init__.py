"""Streaming models under one contract."""
