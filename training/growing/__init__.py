"""A model that learns from corrections: new words, better sentences, and as little as possible forgotten."""
