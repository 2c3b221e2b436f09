"""The bench, shrunk until it only shows that it works."""
