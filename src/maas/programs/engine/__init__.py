"""The platform's own inference engine: one model and its adapters in one process, spoken to as TGI and OpenAI's API are."""
