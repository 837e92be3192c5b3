"""One search on the host."""
