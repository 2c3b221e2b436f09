"""Deployments: what their owners ask for, and the controller that makes it true."""
