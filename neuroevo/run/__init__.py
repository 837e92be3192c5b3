"""A run: one search, as the host sees it."""
