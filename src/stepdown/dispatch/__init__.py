"""Doing the work: one unit through its agent (`loop`), told what to do (`prompts`)."""
