"""The ways into the platform: HTTP, WebSocket, worker, controller, command line."""
