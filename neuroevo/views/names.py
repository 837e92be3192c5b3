"""Names that users choose among, with what they stand for.

They are apart from the code that draws, so that the command line need not import it.
"""

AXES = {  # of curves
    "generation": "generation",
    "env_steps": "environment steps",
    "seconds": "wall-clock time (s)",
    "cpu_seconds": "CPU time (s)",
}
METRICS = {  # that curves show
    "center_return": "held-out return of the center",
    "fitness_mean": "mean fitness",
    "fitness_max": "best fitness",
    "fitness_std": "standard deviation of fitness",
    "failures": "candidates without a finite fitness",
    "spread": "standard deviation of the candidates",
    "truncated": "share of episodes that the time limit ended",
    "coverage": "share of the archive's cells that are filled",
    "qd_score": "QD score",
}
RENDERERS = ("outlines", "mujoco")  # of bodies
