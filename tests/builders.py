"""Things as tests need them: valid by default, each naming only what matters."""
