"""Environments of Gymnasium, which run in Python, in processes of their own."""
