"""Model inspectors."""
