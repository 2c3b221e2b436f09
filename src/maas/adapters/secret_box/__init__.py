"""Secret boxes."""
