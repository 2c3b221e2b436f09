"""The trainer, run for real on tiny models."""
