"""A sub-problem goes to the tool that it names, and to the model if there is none."""

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt import ScriptedLM
from tinylm.prompt.decompose.least_to_most import least_to_most
from tinylm.prompt.decompose.solvers import (
    calculator,
    calendar,
    fill_in,
    named_solvers,
    route,
    searcher,
    sorter,
    split_type,
)
from tinylm.prompt.decompose.successive import successive_prompting


@pytest.mark.parametrize(
    "problem, name, rest",
    [
        ("[calculator] 10 * 4", "calculator", "10 * 4"),
        (" [web-search]2028 Olympics ", "web-search", "2028 Olympics"),
        ("How many?", None, "How many?"),
        ("Is [x] there?", None, "Is [x] there?"),  # only at the beginning
        ("[calculator]", None, "[calculator]"),  # nothing to solve
        ("[two words] x", None, "[two words] x"),
    ],
)
def test_a_type_stands_in_brackets_at_the_beginning(problem, name, rest):
    assert split_type(problem) == (name, rest)


PAIRS = [(f"p{i}", f"a{i}") for i in range(1, 11)]


def test_references_are_filled_in():
    assert fill_in("of #1 and #2", PAIRS) == "of a1 and a2"
    assert fill_in("#10, not #1 0", PAIRS) == "a10, not a1 0"
    assert fill_in("#2", PAIRS, str.upper) == "A2"
    assert fill_in("no # 1 here", PAIRS) == "no # 1 here"
    for problem in ("#0", "#11"):
        with pytest.raises(DataError, match=f"{problem} in '{problem}' is no answer .* are 10"):
            fill_in(problem, PAIRS)


def test_the_calculator_computes_with_earlier_answers():
    assert calculator("10 * 4 * 2", "p0", []) == "80"
    pairs = [("volume?", "The pool holds 80 m^3."), ("change?", "-3"), ("price?", "$1,250 in all")]
    assert calculator("#1 * 1000", "p0", pairs) == "80000"
    assert calculator("10 - #2", "p0", pairs) == "13"
    assert calculator("2^#2", "p0", pairs) == "0.125"
    assert calculator("#3 / 3", "p0", pairs) == "416.667"
    for price in ("€1,250 in all", "it was £1,250", "+1250", "-€1,250"):
        sign = "-" * price.startswith("-")
        assert calculator("#1 / 2", "p0", [("price?", price)]) == f"{sign}625"
    assert calculator("#1 * 80", "p0", [("share?", "25 % of it")]) == "20"
    with pytest.raises(DataError, match="needs a number, and 'none' has none"):
        calculator("#1 + 1", "p0", [("p", "none")])
    with pytest.raises(DataError, match="cannot compute"):
        calculator("ten * four", "p0", [])


def test_the_searcher_finds_documents():
    index = InvertedIndex(["Berlin lies in Germany.", "Paris lies in France.", "Bees fly."])
    assert searcher(index)("Where is Paris?", "p0", []) == "Paris lies in France."
    assert searcher(index, 2)("Paris lies", "p0", []).startswith("Paris lies in France. Berlin")
    assert searcher(index)("Where is #1?", "p0", [("p", "Berlin")]) == "Berlin lies in Germany."
    assert searcher(index)("lies in France", "p0", []) == "Paris lies in France."  # one document
    with pytest.raises(DataError, match="no document has a word of 'xyz'"):
        searcher(index)("xyz", "p0", [])
    with pytest.raises(ConfigError, match="k 0 must be"):
        searcher(index, 0)


def test_sub_problems_go_where_they_belong():
    given = []

    def model(problem, whole, pairs):
        given.append((problem, whole, pairs))
        return "model"

    solve = route({"calculator": calculator}, model)
    assert solve("[calculator] 2 + 3", "p0", ()) == "5"
    assert given == []
    assert solve("How many?", "p0", PAIRS) == "model"
    assert solve("[search] bees", "p0", ()) == "model"  # no such tool
    assert solve("[calculator] two + 3", "p0", ()) == "model"  # refused by the tool
    assert given == [("How many?", "p0", PAIRS), ("[search] bees", "p0", ()), ("two + 3", "p0", ())]


# The pool of the book: 10 m * 4 m * 2 m, and 1000 liters in a cubic meter.
POOL = Item("How many liters are in it?", "80000", context="A pool: 10 m, 4 m, 2 m.")
SOLVERS = {"calculator": calculator}


def test_a_plan_routes_to_the_tool_and_to_the_model():
    listed = 'we need to know: "[calculator] 10 * 4 * 2", "How many liters has 1 m^3?"'
    lm = ScriptedLM(
        [
            (None, listed),
            (
                f"{POOL.context}\nSUB-PROB1 Q: [calculator] 10 * 4 * 2\nA: 80\n"
                "SUB-PROB2 Q: How many liters has 1 m^3?\nA:",
                " 1000",
            ),
            (None, " 80000"),
        ]
    )
    answer = least_to_most(lm, POOL, solvers=SOLVERS)
    assert lm.finished and answer.value == "80000"
    assert [a for _, a in answer.details["pairs"]] == ["80", "1000"]
    assert lm.account.calls == 1 + 1 + 1  # the tool costs no call
    without = ScriptedLM([(None, listed), (None, " 81"), (None, " 1000"), (None, " 81000")])
    assert least_to_most(without, POOL).value == "81000"  # the model solves all


def test_a_dynamic_plan_routes_too():
    lm = ScriptedLM(
        [
            (None, " [calculator] 10 * 4 * 2"),
            (None, " [calculator] #1 * 1000"),
            (None, " There are no more questions."),
            (None, " 80000"),
        ]
    )
    answer = successive_prompting(lm, POOL, solvers=SOLVERS)
    assert [a for _, a in answer.details["pairs"]] == ["80", "80000"] and lm.finished
    without = ScriptedLM([(None, " [calculator] 1"), (None, " 9"), (None, ""), (None, " 9")])
    assert successive_prompting(without, POOL).details["pairs"] == [("[calculator] 1", "9")]


@pytest.mark.parametrize(
    "listed, expected",
    [
        ("37 12 25", "12 25 37"),
        ("37, 9 ,125", "9, 37, 125"),  # by value, where letters would put 125 first
        ("-3, 1/2, 0.25", "-3, 0.25, 1/2"),
        ("pear, Apple, fig tree", "Apple, fig tree, pear"),  # any letter case
        ("10, ten, 9", "10, 9, ten"),  # not all are numbers
        ("b a", "a b"),
        ("2, 1, 2.0", "1, 2, 2.0"),  # equal ones stay in their order
    ],
)
def test_a_list_is_sorted(listed, expected):
    assert sorter(listed, "p0", []) == expected


def test_what_is_sorted_may_come_from_answers():
    assert sorter("#2, #1", "p0", [("p", "30"), ("p", "4")]) == "4, 30"
    for listed in ("37", "", "1, ,2"):
        with pytest.raises(DataError, match="two parts or more"):
            sorter(listed, "p0", [])


@pytest.mark.parametrize(
    "asked, expected",
    [
        ("Friday + 9", "Sunday"),
        ("monday - 1 day", "Sunday"),
        ("Sunday + 0 days", "Sunday"),
        ("2024-02-20 + 10", "2024-03-01"),  # a leap year
        ("2023-02-20+10", "2023-03-02"),
        ("2024-01-01 - 1", "2023-12-31"),
        ("2024-03-01 - 2024-02-20", "10"),
        ("2024-02-20 - 2024-03-01", "-10"),
        ("Monday - Friday", "3"),  # from Friday to Monday
        ("Friday - Friday", "0"),
    ],
)
def test_days_are_counted(asked, expected):
    assert calendar(asked, "p0", []) == expected
    assert calendar(f" {asked} ", "p0", []) == expected


def test_days_may_come_from_answers():
    assert calendar("#1 + #2", "p0", [("p", "Tuesday"), ("p", "62")]) == "Monday"


@pytest.mark.parametrize(
    "asked",
    [
        "Friday",
        "Friday + Monday",
        "Someday + 1",
        "2023-02-30 + 1",
        "2024-01-01 - Friday",
        "2024-01-01 + 99999999",  # no year of four digits
        "Friday + 1 week",
    ],
)
def test_what_is_no_day_is_refused(asked):
    with pytest.raises(DataError, match="no day is|cannot read|cannot be compared"):
        calendar(asked, "p0", [])


def test_solvers_may_be_named():
    assert named_solvers("") == named_solvers(None) == {}
    assert named_solvers("calculator, date") == {"calculator": calculator, "date": calendar}
    assert named_solvers(SOLVERS) == SOLVERS
    with pytest.raises(ConfigError, match="no solver 'abacus'; there are calculator, sort, date"):
        named_solvers("sort,abacus")


def test_the_model_reads_which_tools_there_are():
    note = " A question for a tool begins with its name: [calculator], [sort].\n"
    lm = ScriptedLM([(None, 'we need to know: "[sort] 2, 1".'), (None, " 1")])
    answer = least_to_most(lm, POOL, solvers="calculator,sort")
    assert note in lm.prompts[0] and note not in lm.prompts[1]
    assert answer.details["pairs"] == [("[sort] 2, 1", "1, 2")] and lm.finished
    lm = ScriptedLM([(None, " [sort] 2, 1"), (None, ""), (None, " 1")])
    assert successive_prompting(lm, POOL, solvers="calculator,sort").value == "1"
    assert note in lm.prompts[0] and note in lm.prompts[1] and note not in lm.prompts[2]
    # Without tools, and with solvers of one's own, the prompts are those of the book.
    for solvers in ("", " ", SOLVERS):
        lm = ScriptedLM([(None, ""), (None, " 1")])
        successive_prompting(lm, POOL, solvers=solvers)
        assert "tool" not in lm.prompts[0]
