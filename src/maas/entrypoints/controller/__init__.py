"""The controller: it makes deployments true, and tidies up from time to time."""
