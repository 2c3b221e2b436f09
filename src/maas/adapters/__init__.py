"""Adapters: each port of the application, done with a technology."""
