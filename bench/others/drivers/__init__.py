"""Programs that ask one router each. They run in that router's environment: nothing here imports stepdown's dependencies.

A driver is called as ``python -m bench.others.drivers.NAME [SETTING ...]``. It reads a JSON object a line, ``{"id", "text"}``,
and writes first ``{"version", "import_ms", "first_ms", "note"}``, then per task ``{"id", "tier", "decide_us"}``, where the tier
is ``light``, ``standard`` or ``heavy``. Times are the processor's.
"""
