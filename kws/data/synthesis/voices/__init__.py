"""Voices: espeak-ng, other synthesizers, speakers, word times."""
