"""Files of other projects: read with no code of theirs, and written."""
