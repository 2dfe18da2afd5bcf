"""The models there are, what they can do and what they cost; resolution of names; cost of work."""
