"""How a case ends that does not pass."""


class Failed(Exception):
  """The run did not do what was promised; the text says what it did."""


class Skipped(Exception):
  """The case cannot be tried here; the text says why."""
