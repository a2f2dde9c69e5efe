"""A second reading of a network's file, by programs that share nothing with ``formats/``, held against the first one.

The checker recomputes a proof on the graph that a reader made. A reader that misunderstands a file misleads the search
and the checker alike; so the file is read again here, with nothing but NumPy and the libraries that open it, and both
readings must be the same function (:mod:`netproof.certificate.second_reading.compare`).
"""
