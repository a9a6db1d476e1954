"""The top of the page, and the names of its tabs: known before Gradio is."""

from __future__ import annotations

TITLE = "facefeat: what does a computer guess from a face?"
TABS = ("classify", "morph", "edit", "explore", "models", "about")
"""In the order of the page; each is a module of `facefeat_demo.tabs`."""
TAGLINE = "Show me a face. I'll guess, and show you how sure I am."
HEADER = f"""
<header class="ff-header">
  <h1>facefeat</h1>
  <p class="ff-tagline">{TAGLINE}</p>
  <p class="ff-quiet">Only a guess of how a face looks: often wrong, never a fact.
  <a href="?tab=about" data-tab="about">Wrong for whom?</a></p>
</header>
"""


def label_of(tab: str) -> str:
    """What the page calls a tab."""
    return tab.capitalize()
