"""Bit-vector SMT: queries as formulas of QF_BV, for Bitwuzla and, as SMT-LIB text, for any other solver."""
