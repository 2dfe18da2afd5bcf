"""The audit of local logs, measured: ``python -m bench.audit``."""
