"""Photos and features as batches show them."""
