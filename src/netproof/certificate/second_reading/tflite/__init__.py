"""Second reader of TensorFlow Lite files: the operators of MLPerf Tiny's networks, by the rules of docs/deployed.md."""
