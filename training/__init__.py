"""Learning: data in COCO format, feature cache, training loop and evaluation."""
