"""What every room may use: atomic writes, cache folders, downloads, plotting, statistics."""
