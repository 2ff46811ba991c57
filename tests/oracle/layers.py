"""NumPy float64 operations of the SAGAN networks, for the oracle.

Written from the paper (arXiv:1805.08318) and the facts of the released code
(self-attention-gan ops.py, non_local.py), never from the package under test.
Images are NHWC, kernels HWIO. Clear rather than fast.
"""

import numpy as np


def spectral_normalize(kernel, u, eps=1e-12):
  """Divides a kernel by its largest singular value after one iteration.

  self-attention-gan ops.py: v = l2n(u W^T), u' = l2n(v W), sigma = v W u'^T,
  with l2n(a) = a / (||a|| + eps) and W = kernel as [inputs, C_out].

  Args:
    kernel: [..., C_out] of any rank.
    u: [C_out], of any norm.
    eps: added to each norm; nothing is added to sigma.

  Returns:
    (kernel / sigma, new u [C_out] of unit norm, sigma []).
  """
  kernel = np.asarray(kernel, np.float64)
  matrix = kernel.reshape(-1, kernel.shape[-1])
  v = matrix @ np.asarray(u, np.float64)
  v = v / (np.sqrt(np.sum(v**2)) + eps)
  new_u = v @ matrix
  new_u = new_u / (np.sqrt(np.sum(new_u**2)) + eps)
  sigma = v @ matrix @ new_u
  return kernel / sigma, new_u, sigma


def spectral_normalize_embedding(embedding, u, eps=1e-12):
  """As `spectral_normalize` for a table [num_classes, C]; u is [num_classes].

  The table is transposed before and after: its classes are the output side.
  """
  table_bar, new_u, sigma = spectral_normalize(np.transpose(embedding), u, eps)
  return table_bar.T, new_u, sigma


def conv(x, kernel, bias=None):
  """Cross-correlates at stride 1 with zero padding that keeps H and W."""
  x = np.asarray(x, np.float64)
  size = kernel.shape[0]
  pad = size // 2
  height, width = x.shape[1:3]
  padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
  y = np.zeros((*x.shape[:3], kernel.shape[-1]))
  for row in range(size):
    for column in range(size):
      window = padded[:, row : row + height, column : column + width]
      y += window @ kernel[row, column]
  return y if bias is None else y + bias


def upsample2(x):
  """Nearest neighbour: every pixel becomes a 2 x 2 square."""
  return x.repeat(2, axis=1).repeat(2, axis=2)


def _squares(x):
  """Lines up the four pixels of each 2 x 2 square on a new leading axis."""
  return np.stack(
    [x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
  )


def avgpool2(x):
  """Means over 2 x 2 squares, stride 2."""
  return _squares(x).mean(axis=0)


def maxpool2(x):
  """Maxima over 2 x 2 squares, stride 2."""
  return _squares(x).max(axis=0)


def relu(x):
  return np.maximum(x, 0.0)


def softmax(scores):
  """Softmax over the last axis."""
  weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
  return weights / weights.sum(axis=-1, keepdims=True)


def batch_norm(x, gamma, beta, eps=1e-5, group_size=None):
  """Normalises with the batch's own biased statistics over (B, H, W).

  Args:
    x: [B, H, W, C].
    gamma: [C], or [B, C] with one row an image (a table indexed by label).
    beta: as `gamma`.
    eps: added to the variance.
    group_size: images that share statistics, in consecutive groups; None is
      the whole batch. The released code has groups of 64, one a GPU.

  Returns:
    [B, H, W, C].
  """
  x = np.asarray(x, np.float64)
  group_size = group_size or len(x)
  normalised = np.zeros_like(x)
  for start in range(0, len(x), group_size):
    group = x[start : start + group_size]
    mean = group.mean(axis=(0, 1, 2))
    variance = ((group - mean) ** 2).mean(axis=(0, 1, 2))
    normalised[start : start + group_size] = (group - mean) / np.sqrt(
      variance + eps
    )
  if np.ndim(gamma) == 2:
    gamma, beta = gamma[:, None, None, :], beta[:, None, None, :]
  return normalised * gamma + beta
