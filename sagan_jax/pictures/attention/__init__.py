"""Attention maps as numbers, as a picture, and as a page."""
