"""Ports: what the use cases need from outside, one abstract class a role."""
