"""What callers hand in from Python, looked at before anything is done with it: words, numbers, arrays."""
