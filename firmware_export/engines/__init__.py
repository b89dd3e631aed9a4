"""Foreign runtimes as Engines: TFLite Micro, LiteRT, tflite-runtime, ONNX Runtime."""
