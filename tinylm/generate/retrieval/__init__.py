"""Looking things up   (book section 2.3.3.2).

In order: neighbors.py (vectors), bm25.py (words), knn_lm.py (a datastore beside the model), rag.py
(text before the question).
"""
