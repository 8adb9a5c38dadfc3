"""The commands of ``python -m benchmarks``, one file each; see ``captioner/commands/parser.py`` for what one must have."""
