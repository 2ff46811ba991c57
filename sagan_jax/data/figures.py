"""Signed distances of the figures that the drawn data set shows.

A function takes float32 arrays x and y, from -1 to 1 over the frame with y up,
and returns how far outside of the figure they are; inside is negative. The
distance is exact near the edges, which is where the drawing needs it.

Figures fill a circle of radius 0.85 or less, clear of the corners.
"""

import numpy as np


def _disc(x, y):
  return np.hypot(x, y) - 0.66


def _ring(x, y):
  return np.abs(np.hypot(x, y) - 0.56) - 0.16


def _triangle(x, y):
  # Three half-planes at an inradius of 0.42; y lowered to centre the figure.
  y = y + 0.18
  slanted = np.abs(x) * np.float32(np.sqrt(0.75)) + y * 0.5
  return np.maximum(slanted, -y) - 0.42


def _star(x, y):
  # Two folds about the axes through its notches leave the upper point.
  cos, sin = np.float32(np.cos(np.pi / 5)), np.float32(np.sin(np.pi / 5))
  x, y = np.abs(x), y + 0.04
  for sign in (1, -1):
    fold = 2 * np.maximum(sign * cos * x - sin * y, 0)
    x, y = x - sign * cos * fold, y + sin * fold
  # Its edge runs from (0, tip) to the notch, 36 degrees away.
  tip, notch = 0.86, 0.40
  edge_x, edge_y = notch * sin, notch * cos - tip
  distance = edge_x * (y - tip) - edge_y * np.abs(x)
  return distance / np.hypot(edge_x, edge_y)


def _cross(x, y):
  x, y = np.abs(x), np.abs(y)
  return np.maximum(np.maximum(x, y) - 0.7, np.minimum(x, y) - 0.22)


def _heart(x, y):
  # A square on its corner, with half a disc on each upper side.
  scale = 1.28
  x, y = np.abs(x) / scale, y / scale + 0.56
  square = (x + np.abs(y - 0.5) - 0.5) * np.float32(np.sqrt(0.5))
  lobe = np.hypot(x - 0.25, y - 0.75) - np.float32(np.sqrt(0.125))
  return np.minimum(square, lobe) * scale


def _crescent(x, y):
  x = x + 0.1
  return np.maximum(np.hypot(x, y) - 0.72, 0.58 - np.hypot(x - 0.38, y - 0.12))


def _bars(x, y):
  y = np.abs(y)
  stripes = np.minimum(y, np.abs(y - 0.48)) - 0.15
  return np.maximum(stripes, np.abs(x) - 0.68)


def _checker(x, y):
  # Five of nine cells.
  x, y = np.abs(x), np.abs(y)
  cell = 0.40
  middle = np.maximum(x, y)
  outer = np.maximum(np.abs(x - cell), np.abs(y - cell))
  return np.minimum(middle, outer) - cell / 2


def _arrow(x, y):
  y = np.abs(y)
  head = np.maximum((x - 0.78) * 0.7071 + y * 0.7071, -x)
  shaft = np.maximum(np.abs(x + 0.3) - 0.45, y - 0.2)
  return np.minimum(head, shaft)


# In the order of the labels.
FIGURES = {
  'disc': _disc,
  'ring': _ring,
  'triangle': _triangle,
  'star': _star,
  'cross': _cross,
  'heart': _heart,
  'crescent': _crescent,
  'bars': _bars,
  'checker': _checker,
  'arrow': _arrow,
}
