"""From options to a resolved configuration."""
