"""Answers to questions about photos: a question read word by word, joined with attention over the captioner's grid.

Nothing is imported here, so that what answers with one runtime does not load the other.
"""
