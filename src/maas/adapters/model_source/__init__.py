"""Places that models are imported from."""
