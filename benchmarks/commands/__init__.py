"""The commands of ``python -m benchmarks``, one file each, as ``captioner/commands/parser.py`` asks for them."""
