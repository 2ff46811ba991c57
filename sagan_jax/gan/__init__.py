"""The algorithm: state, step, losses, and samples of a generator."""
