"""Use cases: what the platform does for an actor, on ports."""
