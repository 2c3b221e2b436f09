"""`maas serve`: starts the processes of the platform, restarts what dies, and ends them in order."""
