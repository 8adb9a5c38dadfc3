"""The page that shows scores and captions."""
