"""What is fast, what it costs, and what withstands: measured by anyone with ``python -m benchmarks``."""
