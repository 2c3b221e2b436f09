"""Fine-tuning: jobs as people handle them, and the long work of training."""
