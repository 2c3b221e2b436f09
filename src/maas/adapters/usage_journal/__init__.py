"""Journals of usage."""
