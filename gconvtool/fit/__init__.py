"""The mathematics: arrays in, arrays out, nothing of ONNX."""
