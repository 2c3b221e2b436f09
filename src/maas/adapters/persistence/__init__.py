"""SQL and in-memory keeping of everything that the platform must not forget."""
