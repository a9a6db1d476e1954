"""Starts the demo where a folder with an `app.py` is what a host wants: `python demo/app.py`, or a hosted Space."""

from facefeat_demo.server import start

if __name__ == "__main__":
    start()
