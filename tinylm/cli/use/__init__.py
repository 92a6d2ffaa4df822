"""Verbs that use a model: generate.py, fill.py, chat.py, prompt.py (method_options.py,
prompt_output.py), rag.py, export.py, embed.py; text_model.py opens the model of the two longest.
"""
