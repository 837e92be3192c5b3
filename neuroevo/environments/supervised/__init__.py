"""Labeled data: classification and regression."""
