"""Inference: what may be asked of a model, and what it answers."""
