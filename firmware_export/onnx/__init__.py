"""Graph -> .onnx, in integers and in QDQ form."""
