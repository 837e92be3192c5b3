"""The compiled code: a generation, its rollouts and its random keys."""
