"""The only rooms that know ONNX: reading, surveying, rewriting and writing graphs."""
