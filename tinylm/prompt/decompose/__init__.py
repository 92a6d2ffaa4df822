"""Problems solved by their sub-problems   (book section 3.2.2).

In order: plan.py (the paradigm, eqs. 3.2-3.5), least_to_most.py (all sub-problems first),
successive.py (the next one when the last is solved), recursive.py (sub-problems of sub-problems),
outline.py (a text by its sections), headings.py (the forms of its headings), map_reduce.py (a long
document by its segments), solvers.py (tools as solvers), multi_hop.py (a search for each hop),
scan.py (commands by the commands inside them), shorter.py (shorter questions), equal_tokens.py
(direct, in one run, in several runs).
"""

from tinylm.prompt.decompose.equal_tokens import three_ways
from tinylm.prompt.decompose.least_to_most import least_to_most
from tinylm.prompt.decompose.map_reduce import map_reduce, segments
from tinylm.prompt.decompose.multi_hop import multi_hop
from tinylm.prompt.decompose.outline import outline_then_write
from tinylm.prompt.decompose.plan import decompose, up_front
from tinylm.prompt.decompose.recursive import recursive_prompting, recursive_solve
from tinylm.prompt.decompose.scan import scan_least_to_most
from tinylm.prompt.decompose.shorter import in_parts
from tinylm.prompt.decompose.solvers import route
from tinylm.prompt.decompose.successive import successive_prompting

__all__ = [
    "decompose",
    "in_parts",
    "least_to_most",
    "map_reduce",
    "multi_hop",
    "outline_then_write",
    "recursive_prompting",
    "recursive_solve",
    "route",
    "scan_least_to_most",
    "segments",
    "successive_prompting",
    "three_ways",
    "up_front",
]
