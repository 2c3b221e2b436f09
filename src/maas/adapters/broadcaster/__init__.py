"""Broadcasters."""
