"""Adapters of the port for text."""
