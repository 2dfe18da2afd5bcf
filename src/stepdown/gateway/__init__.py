"""A provider in front of providers: one address for any agent, three protocols, forwarded byte for byte."""
