"""Searches over boxes of networks that are chains of dense layers, one box after another."""
