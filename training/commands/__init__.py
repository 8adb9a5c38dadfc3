"""The commands of ``captioner train``, one file each."""
