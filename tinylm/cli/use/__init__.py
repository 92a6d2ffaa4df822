"""Verbs that use a model: generate.py, chat.py, prompt.py, export.py, embed.py; timer.py."""
