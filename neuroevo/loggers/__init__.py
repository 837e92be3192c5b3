"""Where metrics go besides the run directory."""
