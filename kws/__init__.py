"""kws: say a phrase, get a wake-word detector that is the same numbers everywhere."""

__version__ = "0.1.0"
