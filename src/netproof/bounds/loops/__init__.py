"""Bounds of parts by signs, in float32, by compiled loops: a guide of searches, which nothing rests on."""
