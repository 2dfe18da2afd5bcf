"""What the live page costs: ``python -m bench.page``."""
