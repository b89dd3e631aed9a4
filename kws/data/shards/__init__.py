"""Training examples as tar files."""
