"""Running benchmarks: executor, results on disk, resume, progress."""
