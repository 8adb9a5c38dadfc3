"""Language models: the conditioned decoder without an image, trained on plain text."""
