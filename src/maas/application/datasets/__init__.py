"""Datasets: uploading with every row checked, listing, changing, deleting."""
