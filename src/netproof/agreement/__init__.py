"""Do two networks of integers, or one as two runtimes compute it, agree: counted, proved, or refuted by an input."""
