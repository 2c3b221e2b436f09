"""The catalog: models, their versions, and what their files say."""
