"""Local logs of agents → records: what was asked when, of which model, and what it used. No text of anyone is kept.

One file per agent (`Source`); `records` is what they all give, `index` remembers what was read, `read` reads it all. How a
user's message is told from an agent's own says `stepdown.asks`.
"""
