"""Pages for a browser: one HTML file each, which opens without a network."""

import base64
import html
import importlib.resources
import json

# Scripts and styles are in the page itself; a browser fetches nothing, whatever
# a name that found its way into the page might ask for.
_POLICY = (
  "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
  "script-src 'unsafe-inline'"
)


def render(title, body, *, data=None, scripts=(), styles=()):
  """Puts a page together.

  Args:
    title: text; escaped here.
    body: HTML; what it quotes has gone through `escape`.
    data: anything JSON can hold; a script reads it by `pageData()`. Numbers
      that are not finite become null.
    scripts: names of files in `assets/`, run in this order.
    styles: names of files in `assets/`, after `base.css`.

  Returns:
    The file's text.
  """
  style = '\n'.join(map(_asset, ('base.css', *styles)))
  script = '\n'.join(map(_asset, ('base.js', *scripts)))
  # Within <script> only `</` could end it, and `<!--` confuse it.
  text = json.dumps(_finite(data), separators=(',', ':'), allow_nan=False)
  text = text.replace('<', '\\u003c')
  return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{style}
</style>
</head>
<body>
{body}
<script type="application/json" id="data">{text}</script>
<script>
{script}
</script>
</body>
</html>
"""


def escape(text):
  """Any value as text that is safe between tags and in quoted attributes."""
  return html.escape(str(text), quote=True)


def data_url(content, kind):
  """Bytes of a MIME type such as 'image/png' as a URL."""
  return f'data:{kind};base64,{base64.b64encode(content).decode()}'


def _asset(name):
  folder = importlib.resources.files('sagan_jax.pictures') / 'assets'
  return (folder / name).read_text(encoding='utf-8')


def _finite(value):
  """`value` with None in place of numbers that JSON has no word for."""
  if isinstance(value, float):
    return value if abs(value) < float('inf') else None
  if isinstance(value, dict):
    return {key: _finite(x) for key, x in value.items()}
  if isinstance(value, (list, tuple)):
    return [_finite(x) for x in value]
  return value
