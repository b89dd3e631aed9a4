"""Writers from the quantized graph to what runs on devices; torch-free."""
