"""Tests of deployments and of their controller."""
