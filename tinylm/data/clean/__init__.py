"""Which texts of a corpus are kept   (book section 2.2.1).

pipeline.py composes the steps; words.py defines words in every script, and stem.py the stems of
English ones. Each step is a file: cleaning.py, markup.py, quality.py, repetition.py, code.py,
toxicity.py, language_id.py with language_samples.py, ngram.py and classifier.py (models of good
text), dedup.py, contamination.py, privacy.py.
"""
