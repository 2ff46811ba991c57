"""Figures of speed, and tables of many of them."""
