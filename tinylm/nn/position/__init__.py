"""Positions: how the order of the tokens enters a model   (book section 2.3.5).

Added to embeddings: learned.py, sinusoidal.py. A rotation of queries and keys: rotary.py,
rotary_forms.py, rotary_scaling.py (longer contexts). Added to scores: bias.py, t5_buckets.py,
relative.py. cases.py holds the gradient checks.
"""

from tinylm.nn.position.learned import LearnedPositions
from tinylm.nn.position.rotary import rotary_angles, rotary_frequencies, turns
