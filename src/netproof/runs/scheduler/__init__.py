"""Work for the workers of a Dask scheduler: instances of a run, and pieces of one question."""
