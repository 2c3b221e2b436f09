"""Programs that run as children of the platform: they touch models and files that users brought, and hold no secrets."""
