"""Zip archives that anybody may have written: no more memory than bytes."""

import zipfile

_LOCAL_HEADER_BYTES = 30  # Of a member, before its name.
_SIGNATURE = b'PK\x01\x02'  # Of an entry in the list of members.
MAX_MEMBERS = 2**16  # Half a kilobyte of memory each, listed in 46 bytes.


def num_members(data: bytes) -> int:
  """At least the members that a list of them can have."""
  return data.count(_SIGNATURE)


def check(members: list[zipfile.ZipInfo], *, deflated: bool = False) -> None:
  """Refuses archives whose members are more than the bytes of the file.

  Args:
    members: of an open archive.
    deflated: whether they may be compressed: for readers who know how many
      bytes each must have.

  Raises:
    ValueError: if any is compressed otherwise, encrypted, shares bytes with
      another, or there is twice.
  """
  methods = {zipfile.ZIP_STORED} | (
    {zipfile.ZIP_DEFLATED} if deflated else set()
  )
  if len({info.filename for info in members}) != len(members):
    raise ValueError('a zip archive with a name that is there twice')
  end = 0
  for info in sorted(members, key=lambda info: info.header_offset):
    if info.compress_type not in methods or info.flag_bits & 1:
      raise ValueError('a zip archive with compressed or encrypted members')
    stored = info.compress_type == zipfile.ZIP_STORED
    if info.header_offset < end or (
      stored and info.file_size != info.compress_size
    ):
      raise ValueError('a zip archive whose members overlap')
    end = info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size
