"""What training learns of phones: recognizer, alignment, pieces."""
