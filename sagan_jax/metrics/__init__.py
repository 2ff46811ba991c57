"""Image-quality metrics of features, on the host in float64."""
