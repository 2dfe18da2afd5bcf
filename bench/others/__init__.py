"""Other routers in the same replay: what they choose from a task's text, and what became of the model they chose.

    python -m bench.others --setup     install them, each into an environment of its own, outside this repository
    python -m bench.others             replay what they choose, beside the shipped router

The rooms, each importing only those before it: `drivers` (one small program per router, run by its own environment's Python),
`peers` (which routers, which settings, which version), `install`, `ask` (the texts go in, tiers come out), `replay` (pure: the
choices on recorded runs), `table`. Recorded runs, the verifier, intervals and tables are those of `bench.routing`.
"""
