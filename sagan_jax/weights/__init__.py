"""Weights of both networks in files of other programs, out and in."""
