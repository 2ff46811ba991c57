"""The Inception network of 2015-12-05: weights, preparation, features."""
