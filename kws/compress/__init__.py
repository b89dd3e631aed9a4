"""Calibration, quantization and lowering."""
