"""Clips, manifests, synthesis and augmentation."""
