"""The catalog: uploading, importing, showing, changing and deleting models and their versions."""
