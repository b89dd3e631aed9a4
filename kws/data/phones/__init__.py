"""Phones of transcribed recordings, frame by frame, and new speech put together from pieces of it."""
