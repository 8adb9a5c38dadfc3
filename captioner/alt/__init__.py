"""Alternative texts in HTML and Markdown: which images lack one, and files with it that are otherwise as they were."""
