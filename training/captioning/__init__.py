"""A decoder that learns to caption."""
