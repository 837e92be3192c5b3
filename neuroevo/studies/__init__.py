"""Questions asked of finished genomes and of many runs."""
