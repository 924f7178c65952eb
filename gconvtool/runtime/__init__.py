"""The only rooms that know onnxruntime: running models, feeding them, watching what flows."""
