"""The one scale that all attention maps are drawn on.

Colours stand for the logarithm of attention against that of a uniform map, from
1/MAXIMUM to MAXIMUM: the middle is uniform, in every map.
"""

COLOURS = 'RdBu_r'  # Of matplotlib; blue is less than uniform, red is more.
MAXIMUM = 8  # Times uniform.
MAXIMA = (2, 4, 8, 16, 64, 256)  # That the page offers.
