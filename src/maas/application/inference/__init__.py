"""Asking models: chat, completion, embedding, and many of these at once."""
