"""Verbs that use a model: generate.py, chat.py, export.py, embed.py; open_model.py opens a run or
published weights.
"""
