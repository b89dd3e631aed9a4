"""Phones of transcribed recordings: what is said when, and new speech put together from pieces of it."""
