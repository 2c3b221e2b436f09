"""Signers of access tokens."""
