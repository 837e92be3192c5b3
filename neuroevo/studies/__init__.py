"""Studies of finished genomes and of several runs."""
