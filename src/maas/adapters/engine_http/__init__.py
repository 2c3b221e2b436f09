"""Speaking HTTP to engines: kept connections, answers read piece by piece, refusals as our errors."""
