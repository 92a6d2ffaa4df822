"""From files to texts and examples.

In order: sources.py (which files), text.py (plain text), documents.py (one document after the
other), shards.py (many files), labeled.py, conll.py (tagged words), messages.py, records.py,
instructions.py, preferences.py, book_instructions.py, items.py (questions with answers), gsm8k.py,
benchmarks.py, bio.py, annotated.py (texts with entities and relations), solutions.py (of models,
marked right or wrong).
"""
