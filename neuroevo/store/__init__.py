"""Files: run directories, checkpoints, genomes, metrics and the zoo."""
