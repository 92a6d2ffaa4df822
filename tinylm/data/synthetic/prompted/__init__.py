"""Tasks to prompt a model with, whose answers an exact rule decides   (book chapter 3).

Every task is a generator `..._items(count, seed, ...)` of Items, and a solver `solve_...(item)`
that computes the answer from the question and its context alone. In reading order: last_letters.py,
dyck.py, scan.py (symbols); add_divide.py, means.py, coin_flips.py (numbers).
"""

from tinylm.data.synthetic.prompted.add_divide import add_divide_items, solve_add_divide
from tinylm.data.synthetic.prompted.coin_flips import coin_items, solve_coin_flips
from tinylm.data.synthetic.prompted.dyck import dyck_items, solve_dyck
from tinylm.data.synthetic.prompted.last_letters import last_letter_items, solve_last_letters
from tinylm.data.synthetic.prompted.means import mean_items, solve_means
from tinylm.data.synthetic.prompted.scan import scan_items, solve_scan

# {task: (generator of items, solver of an item)}
TASKS = {
    "last_letters": (last_letter_items, solve_last_letters),
    "dyck": (dyck_items, solve_dyck),
    "scan": (scan_items, solve_scan),
    "add_divide": (add_divide_items, solve_add_divide),
    "means": (mean_items, solve_means),
    "coin_flips": (coin_items, solve_coin_flips),
}
