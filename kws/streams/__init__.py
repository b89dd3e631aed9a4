"""Clips -> long streams with events, and what detections in them amount to."""
