"""Training: the schedule, the gradient step, checkpoints and evaluation."""
