"""The savings claim, measured: ``python -m bench.claim``."""
