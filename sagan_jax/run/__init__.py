"""One run in one directory."""
