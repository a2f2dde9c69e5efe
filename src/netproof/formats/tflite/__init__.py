"""TensorFlow Lite files: quantized networks as they are deployed."""
