"""What is to be said: negatives, sentences, how alike two texts sound."""
