"""Tasks to prompt a model with, whose answers an exact rule decides   (book chapter 3).

Every task is a generator `..._items(count, seed, ...)` of Items, and a solver `solve_...(item)`
that computes the answer from the question and its context alone. In reading order: last_letters.py,
dyck.py, scan.py (symbols); add_divide.py, means.py, coin_flips.py (numbers); word_problems.py,
programs.py, comparisons.py, durations.py, multi_hop.py (several steps); cipher.py, agreement.py,
formal_style.py (text to text); polarity.py, named_entities.py, retrieval_qa.py, verbose.py.
"""

from tinylm.data.synthetic.prompted.add_divide import add_divide_items, solve_add_divide
from tinylm.data.synthetic.prompted.agreement import agreement_items, solve_agreement
from tinylm.data.synthetic.prompted.cipher import cipher_items, draft_items, solve_cipher
from tinylm.data.synthetic.prompted.coin_flips import coin_items, solve_coin_flips
from tinylm.data.synthetic.prompted.comparisons import comparison_items, solve_comparison
from tinylm.data.synthetic.prompted.durations import duration_items, solve_duration
from tinylm.data.synthetic.prompted.dyck import dyck_items, solve_dyck
from tinylm.data.synthetic.prompted.formal_style import formal_items, solve_formal
from tinylm.data.synthetic.prompted.last_letters import last_letter_items, solve_last_letters
from tinylm.data.synthetic.prompted.means import mean_items, solve_means
from tinylm.data.synthetic.prompted.multi_hop import multi_hop_items, solve_multi_hop
from tinylm.data.synthetic.prompted.named_entities import named_entity_items, solve_named_entities
from tinylm.data.synthetic.prompted.polarity import polarity_items, solve_polarity
from tinylm.data.synthetic.prompted.programs import (
    lift_items,
    program_items,
    solve_lift,
    solve_program,
)
from tinylm.data.synthetic.prompted.retrieval_qa import retrieval_items, solve_retrieval
from tinylm.data.synthetic.prompted.scan import scan_items, solve_scan
from tinylm.data.synthetic.prompted.verbose import solve_verbose, verbose_items
from tinylm.data.synthetic.prompted.word_problems import solve_word_problem, word_problem_items

# {task: (generator of items, solver of an item)}
TASKS = {
    "last_letters": (last_letter_items, solve_last_letters),
    "dyck": (dyck_items, solve_dyck),
    "scan": (scan_items, solve_scan),
    "add_divide": (add_divide_items, solve_add_divide),
    "means": (mean_items, solve_means),
    "coin_flips": (coin_items, solve_coin_flips),
    "word_problems": (word_problem_items, solve_word_problem),
    "programs": (program_items, solve_program),
    "lifts": (lift_items, solve_lift),
    "comparisons": (comparison_items, solve_comparison),
    "durations": (duration_items, solve_duration),
    "multi_hop": (multi_hop_items, solve_multi_hop),
    "cipher": (cipher_items, solve_cipher),
    "drafts": (draft_items, solve_cipher),
    "agreement": (agreement_items, solve_agreement),
    "formal_style": (formal_items, solve_formal),
    "polarity": (polarity_items, solve_polarity),
    "named_entities": (named_entity_items, solve_named_entities),
    "retrieval_qa": (retrieval_items, solve_retrieval),
    "verbose": (verbose_items, solve_verbose),
}
