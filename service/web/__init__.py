"""HTTP in and out. Knows no thread."""
