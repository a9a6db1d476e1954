"""The latent space: morphs, edits, compositions, explanations and analyses of what a model keeps of a face."""
