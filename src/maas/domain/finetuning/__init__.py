"""Fine-tuning: jobs, their runs, and what a run is made of."""
