"""Published benchmarks: where their data is, their instances, and the verdicts their authors print."""
