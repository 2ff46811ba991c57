"""Weights of both networks as files, of ours and of other projects."""
