"""The way of a photo to the model and back. Knows no HTTP."""
