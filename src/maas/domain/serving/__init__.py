"""Serving: deployments, their replicas, and how many of these there should be."""
