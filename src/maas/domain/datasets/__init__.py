"""Datasets: rows to learn from, and the files that hold them."""
