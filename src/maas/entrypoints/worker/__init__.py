"""The worker: it takes leased work and reactions, and runs their handlers."""
