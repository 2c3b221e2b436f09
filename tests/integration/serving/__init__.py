"""Deployments on real engines."""
