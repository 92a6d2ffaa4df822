"""Performance gap recovered: how much of the way from weak to strong was gone   (book section
4.2.5, eq. 4.11; Burns et al. 2023).

    PGR = (P_weak->strong - P_weak) / (P_ceiling - P_weak)

1 closes the gap, 0 gains nothing; it can be negative, and above 1. The paper has about 0.8 with a
model of GPT-2's size as the supervisor of GPT-4, on 22 classification tasks. Read next:
confidence.py.
"""

from tinylm.errors import DataError


def pgr(weak: float, weak_to_strong: float, ceiling: float) -> float:
    """The performance gap recovered   (book eq. 4.11)

    weak            performance of the weak model, such as its accuracy
    weak_to_strong  of the strong model that learnt from it
    ceiling         of the strong model that learnt from the truth
    returns         float: .60, .76, .80 give .8
    raises          DataError if the ceiling is the weak performance: there is no gap
    """
    gap = ceiling - weak
    if gap == 0:
        raise DataError(
            f"pgr: the weak model and the ceiling both have {weak}, so there is no gap to recover: "
            "take a weaker supervisor, or a harder task"
        )
    return (weak_to_strong - weak) / gap
