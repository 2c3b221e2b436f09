"""What children share, with real processes."""
