"""Captions in the formats that people have."""
