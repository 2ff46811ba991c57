"""Many runs in one directory: what they are, running them, comparing them."""
