"""What a plugin registers, how plugins are found and loaded, and the registry of their components."""
