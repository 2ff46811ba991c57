"""Feature extractors and image-quality metrics.

Two halves that meet in arrays: `extractors` turns uint8 images into features
on the accelerator, and the metric files turn features into numbers on the host
in float64. Nothing here knows of generators, checkpoints or configs.
"""
