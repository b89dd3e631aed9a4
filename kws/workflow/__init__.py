"""Whole ways of working: train a recipe, quickstart."""
