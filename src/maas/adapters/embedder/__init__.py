"""Adapters of the port for embeddings."""
