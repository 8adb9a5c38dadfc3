"""How good captions are, how sure one can be of that, and how sure of a single caption and word."""
