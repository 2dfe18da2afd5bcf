"""What the user wants, from files on disk: load, merge, validate, and where each value came from."""
