"""Tables of figures in Markdown."""

STEP_COLUMNS = {
  'resample': '{}',
  'dtype': '{}',
  'batch_size': '{}',
  'compile_secs': '{:.0f}',
  'step_secs': '{:.4f}',
  'images_per_sec': '{:.2f}',
  'fed_images_per_sec': '{:.2f}',
  'gflop_per_image': '{:.1f}',
  'compiler_gflop_per_image': '{:.1f}',
  'matmul_tflops': '{:.3f}',
  'effective_mfu': '{:.1%}',
  'step_mib': '{:.0f}',
}
MATRIX_COLUMNS = {
  'measured': '{}',
  'resample': '{}',
  'dtype': '{}',
  'batch_size': '{}',
  'flags': '{}',
  'images_per_sec': '{:.2f}',
  'step_secs': '{:.4f}',
  'effective_mfu': '{:.1%}',
  'step_mib': '{:.0f}',
  'peak_mib': '{:.0f}',
  'compile_secs': '{:.0f}',
  'note': '{}',
}


def table(rows, columns=None):
  """Formats rows of figures as Markdown; what is absent is a dash.

  Args:
    rows: dicts.
    columns: {name: format}; None for those of steps.
  """
  columns = columns or STEP_COLUMNS
  lines = [
    '| ' + ' | '.join(columns) + ' |',
    '| ' + ' | '.join('---' for _ in columns) + ' |',
  ]
  for row in rows:
    cells = [
      '-' if row.get(name) is None else form.format(row[name])
      for name, form in columns.items()
    ]
    lines.append('| ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines)
