"""Fitting: the loop and its parts."""
