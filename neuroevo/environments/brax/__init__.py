"""Environments of brax, and the bodies that move in them."""
