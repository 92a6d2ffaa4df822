"""Decompositions by exact rules: G, S_i and S_0 of tasks whose parts need no model   (book section
3.2.2, eqs. 3.2-3.5).

    last letters    p_i = the i-th word         a_i = its last letter         a_0 = all letters
    brackets        p_i = the i-th bracket      a_i = what is open after it   a_0 = what closes a_n
    hops            p_i = a fact of a_{i-1}     a_i = its object              a_0 = a_n

They are the limit of decomposition: with all three functions every answer is right at any length.
With one of them in place of the model's own, they show which part of a plan fails. Read next:
equal_tokens.py.
"""

from tinylm.data.synthetic.prompted.dyck import dyck_completion, stacks
from tinylm.data.synthetic.prompted.last_letters import last_letters_of
from tinylm.data.synthetic.prompted.multi_hop import KnowledgeGraph, read_hops
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.decompose.multi_hop import known_hops
from tinylm.prompt.decompose.plan import up_front

LETTER, OPEN, NOTHING = "What is the last letter of {}?", "What is open after {}?", "nothing"


def _subject(problem, form):
    """What a sub-problem is about. DataError for one of another form."""
    before, after = form.split("{}")
    subject = problem[len(before) : len(problem) - len(after)]
    if not subject or problem != form.format(subject):
        raise DataError(f"the sub-problem {problem!r:.60} is not of the form {form!r}")
    return subject


# G: p_0 -> sub-problems.


def letter_parts(item):
    """A sub-problem for each word between the quotation marks of a question."""
    return [LETTER.format(word) for word in item.question.split('"')[1].split()]


def bracket_parts(item):
    """A sub-problem for each bracket of a sequence."""
    return [OPEN.format(bracket) for bracket in item.question.partition("Input: ")[2].split()]


# S_i: p_i, p_0, pairs -> a_i. All raise DataError for a sub-problem that they cannot read.


def letter(problem, item, pairs):
    """The last letter of a word."""
    return last_letters_of(_subject(problem, LETTER))


def open_brackets(problem, item, pairs):
    """The brackets that are open after one more, or "nothing"."""
    before = ""
    if pairs and pairs[-1][1] != NOTHING:
        before = pairs[-1][1]
    stack = stacks(f"{before} {_subject(problem, OPEN)}")[-1]
    return " ".join(stack) or NOTHING


def fact(problem, item, pairs):
    """The object of a question of one hop, from the item's context."""
    return KnowledgeGraph.read(item.context).walk(*read_hops(problem))[-1]


# S_0: p_0, pairs -> a_0.


def joined(item, pairs):
    """All answers, one after the other."""
    return "".join(answer for _, answer in pairs)


def closing(item, pairs):
    """The brackets that close those of the last answer."""
    return " ".join(dyck_completion(pairs[-1][1].replace(NOTHING, "")))


def last_answer(item, pairs):
    """The last answer."""
    return pairs[-1][1]


def rules(item):
    """(G_i, S_i, S_0) of an item of the tasks last_letters, dyck or multi_hop, for one use of
    `decompose`. ConfigError for another task.
    """
    if item.task == "multi_hop":
        return known_hops, fact, last_answer
    if item.task == "last_letters":
        return up_front(letter_parts), letter, joined
    if item.task == "dyck":
        return up_front(bracket_parts), open_brackets, closing
    raise ConfigError(
        f"rules: no decomposition of {item.task!r}; there are last_letters, dyck, multi_hop"
    )
