"""What is compiled: one generation, its rollouts and its random keys."""
