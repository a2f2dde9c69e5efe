"""Writing TensorFlow Lite files."""
