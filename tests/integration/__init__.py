"""Tests of real parts together."""
