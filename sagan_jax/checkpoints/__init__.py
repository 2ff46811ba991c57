"""Saving and restoring states, and what a bad disk makes of them."""
