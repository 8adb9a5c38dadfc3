"""With which weights a model starts."""
