"""How much work things are worth: every number of bounds, the search and attacks that was chosen by measurement.

None of them is about soundness: another value changes what is decided in how much time, and no verdict. What they were chosen
on is in docs/benchmarks.md and docs/experiments.md where it is known; where nothing is said they are as they were first found to do, on the
published networks of that kind, and nothing depends much on them.

Seconds are of the clock on the wall, shares are of the time that is left unless something else is said, bytes are bytes.
"""
