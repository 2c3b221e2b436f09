"""Hashers of passwords."""
