"""What the rows of a log say about a training."""
