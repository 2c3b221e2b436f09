"""The web server of the API: gunicorn's threads, hardened against slow and absent clients."""
