"""Ways to choose a text   (book section 2.1.3).

Search: beam.py, stochastic_beam.py, contrastive.py, rerank.py. Faster: speculative.py. Text of a
formal language, such as a regular expression: characters.py, expression.py, regular.py,
constrained.py.
"""
