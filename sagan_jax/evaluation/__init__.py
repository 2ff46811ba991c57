"""Scores of generators and of sets of images, with the protocol of each."""
