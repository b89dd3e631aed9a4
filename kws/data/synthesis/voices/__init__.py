"""Who says it: espeak-ng, other synthesizers, speakers, word times."""
