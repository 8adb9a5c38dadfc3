"""Bulk jobs as processes of their own, watched and killed."""
