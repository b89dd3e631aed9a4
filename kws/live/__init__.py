"""Microphone and terminal."""
