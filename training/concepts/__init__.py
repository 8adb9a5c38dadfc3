"""Visual concepts: an encoder that learns which words people use of a photo, before a decoder learns to say them."""
