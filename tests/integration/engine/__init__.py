"""The engine: real processes, real tiny models, spoken to by HTTP."""
