"""Fine-tuning, on adapters in memory."""
