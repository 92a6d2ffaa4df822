"""Experiments that judge a claim of the book   (book section 2.3.6 on threats to validity).

In order: compare.py (a claim, and the rule by which seeds judge it), cells.py (results that are
kept, so that an experiment grows over days), script.py (the command line of a script), picture.py,
panel.py and labels.py (the results as a picture).
"""
