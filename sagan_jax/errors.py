"""The one kind of error that is not ours, and one that may pass."""


class UserError(ValueError):
  """Something that the person who runs a command can mend.

  A config, a data set, a directory, a disk, a file of weights. The text is what
  that person reads, with no traceback: what was given, what is allowed and
  which key or file to change. Every other exception is a fault of this package
  and shows its traceback.
  """


class DiskFull(UserError):
  """A disk, or somebody's share of one, has no room."""
