"""What the machines have."""
