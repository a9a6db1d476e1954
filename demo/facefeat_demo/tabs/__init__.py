"""The tabs of the page, one file each: `build(host, kept)`, which fills the tab that is open.

A new tab is a new file, and its name in `facefeat_demo.header.TABS`.
"""
