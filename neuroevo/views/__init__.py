"""Pictures, videos and pages of runs and genomes.

matplotlib, plotly and MuJoCo are imported only to draw with them.
"""
