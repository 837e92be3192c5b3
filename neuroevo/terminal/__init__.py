"""Text output in a terminal."""
