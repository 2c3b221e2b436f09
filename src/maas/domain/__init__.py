"""What the platform is about, with its rules; no I/O, no clock, no framework."""
