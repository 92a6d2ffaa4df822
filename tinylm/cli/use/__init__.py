"""Verbs that use a model: generate.py, chat.py, prompt.py, rag.py, export.py, embed.py."""
