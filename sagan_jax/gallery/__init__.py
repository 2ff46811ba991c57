"""Files of images of a run, for people."""
