"""Texts to synthesize: negatives, sentences, how alike two texts sound."""
