"""Commands that make a model, one after the other; each is skipped if it is done, and goes on if it was begun."""
