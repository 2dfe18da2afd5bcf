"""The built-in provider and agent: real HTTP on loopback, real files, no key, no model, nothing spent."""
