"""`python -m facefeat` is `facefeat`."""

from facefeat.cli import main

if __name__ == "__main__":
    main()
