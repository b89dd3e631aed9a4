"""Training examples: the clips of a split, drawn, augmented, laid into batches."""
