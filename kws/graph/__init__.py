"""The quantized graph: the one truth that every format is written from."""
