"""Faults on purpose: how they are provoked, and what shows that nothing is lost."""
