"""The WebSocket entrypoint: signed-in, bounded connections beside the HTTP API."""
