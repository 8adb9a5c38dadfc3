"""Training that is measured: a set of pictures that anyone can make, and runs on it."""
