"""The demo of facefeat: a page in the browser that reads faces, shows where the model looked, and morphs.

`facefeat demo` starts it. It uses facefeat's public API only; each tab is a file in `tabs`. Importing this imports no
Gradio and no Keras.
"""
