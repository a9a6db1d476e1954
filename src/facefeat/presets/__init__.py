"""Presets on disk: reading and writing their folders, metadata, the directions of their latents."""
