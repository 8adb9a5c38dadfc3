"""The commands of ``python -m training`` around language models, one file each."""
