"""Moving pictures, as GIF files.

GIF is what every viewer, browser, chat, slide and README plays; APNG and WebP
keep all colours, but many programs show their first frame only or nothing. A
frame has 256 colours of its own; a strip of the same images is exact.
"""

import io

from PIL import Image

_FRAME_MS = 70
_PLACE_MS = 700  # Where a way begins and ends, for the eye to rest.


def gif(frames, rests, comment):
  """Encodes an animation that loops for ever.

  Args:
    frames: uint8 [H, W, 3] each, at least one.
    rests: a bool per frame, whether to stay a while.
    comment: ASCII, put into the file.

  Returns:
    bytes.
  """
  # Undithered: dots that dance from frame to frame are worse than flat areas.
  first, *others = (
    Image.fromarray(x).quantize(256, dither=Image.Dither.NONE) for x in frames
  )
  content = io.BytesIO()
  first.save(
    content,
    format='GIF',
    save_all=True,
    append_images=others,
    duration=[_PLACE_MS if rest else _FRAME_MS for rest in rests],
    loop=0,
    comment=comment.encode(),
  )
  return content.getvalue()
