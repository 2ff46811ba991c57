"""Images for people to look at."""
