"""The networks of SAGAN in flax.linen."""
