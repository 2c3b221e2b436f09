"""Archive readers."""
