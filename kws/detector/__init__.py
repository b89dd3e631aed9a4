"""The detector: a .kws file, its engine, its decision, samples in and detections out."""
