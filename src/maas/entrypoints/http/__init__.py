"""The HTTP entrypoint: the API under /api/v1, OpenAI's under /v1, and what operators read."""
