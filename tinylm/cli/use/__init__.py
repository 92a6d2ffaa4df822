"""Verbs that use a model: generate.py, chat.py, export.py, embed.py. timer.py measures speed."""
