"""Trees, lemmas and rows of certificates, grown along the record of a search."""
