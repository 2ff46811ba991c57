"""Self-attention GANs (arXiv:1805.08318) in JAX and Flax."""

__version__ = '0.1.0'
