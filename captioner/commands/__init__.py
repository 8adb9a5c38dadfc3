"""The commands of ``python -m captioner``, one file each, and what they share."""
