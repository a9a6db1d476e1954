"""Pictures: opening and aligning them, drawing on them, writing frames as video."""
