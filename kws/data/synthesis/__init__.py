"""Speech from text: voices, and whole corpora of positives and negatives for a phrase."""

from kws.data.synthesis.config import SynthesisConfig

__all__ = ["SynthesisConfig"]
