"""The latent space: ways through it, and what can be made of the pictures on the way."""
