"""Model as a Service on your own machines."""
