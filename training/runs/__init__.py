"""What every run does: learn, validate, keep the best, stop anywhere and resume."""
