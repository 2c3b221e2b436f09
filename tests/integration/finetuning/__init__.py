"""Fine-tuning, with real trainers, files and databases."""
