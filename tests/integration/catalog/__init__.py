"""Uploads, downloads and imports on real processes."""
