"""Graph -> .tflite."""
