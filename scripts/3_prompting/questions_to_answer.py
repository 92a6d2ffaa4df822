"""The lists of questions of every_method.py, and which methods answer each of them.

A list is a function of the folder of the data and of the seed that returns Tables: questions, the
methods with their options, and plain prompting beside them. Read next: every_method.py.
"""

from dataclasses import dataclass, replace

from published_reasoning import SHOWN, commonest, demonstrations, sample

from tinylm.data.measure.answers import answer_words, token_f1
from tinylm.data.read.gsm8k import without_annotations
from tinylm.data.read.items import Item, read_items
from tinylm.data.synthetic.prompted.multi_hop import multi_hop_items
from tinylm.data.synthetic.prompted.retrieval_qa import NO_ANSWER, retrieval_items
from tinylm.data.synthetic.prompted.scan import length_split, scan_item
from tinylm.prompt.decompose.map_reduce import read_finding
from tinylm.prompt.decompose.scan import LISTED, TRANSLATED, sub_commands
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.in_context.few_shot import zero_shot
from tinylm.prompt.refine.aspects import translate
from tinylm.reading import read_text_file

MANY, SOME, FEW = 20, 10, 5  # questions, by what a method spends
ROWS = 20  # read at a time
STEPS, PART, ANSWER = 96, 48, 12  # most tokens of a chain, of a sub-problem's, of a bare answer
SAMPLES = 5  # of every method that samples
DRAWN = 400  # generated questions, of which those asked are drawn
HALF = 0.5  # token F1 from which a translation is right
LANGUAGES = {"source": "Spanish", "target": "English"}
TRAINING, PROBLEMS = "reasoning/gsm8k_train.jsonl.gz", "eval/MultiArith.json.gz"
OPTIONS, VERSES = "eval/ARC-Easy.json.gz", "bitext/bible_en_es.tsv.gz"


@dataclass(frozen=True)
class Table:
    """Questions of one kind, and the methods that answer them.

    items    all Items of the list
    methods  {name: options}
    asked    questions of each method, drawn from the list
    shown    demonstrations
    plain    (function, options) of plain prompting
    chat     True: a prompt is a turn of the chat; False: a text that goes on
    judge    function (value, item) -> is it right?
    at_once  questions that are answered together
    """

    items: list
    methods: dict
    asked: int = MANY
    shown: tuple = ()
    plain: tuple = (zero_shot, {"max_tokens": ANSWER})
    chat: bool = False
    judge: object = is_right
    at_once: int = ROWS

    @property
    def floor(self):
        """The share of right answers of a model that has learnt nothing."""
        if self.items[0].options:
            return sum(1 / len(item.options) for item in self.items) / len(self.items)
        return commonest(self.items)


def word_problems(folder, seed):
    """Methods that continue a text."""
    items = read_items(folder / PROBLEMS)
    answer = {"max_tokens": ANSWER}
    chain, part = {"max_tokens": STEPS}, {"max_tokens": PART}
    vote = {"answer_tokens": ANSWER, "max_tokens": STEPS}
    cheap = {
        "zero-shot": answer,
        "few-shot": answer,
        "chain-of-thought": chain,
        "zero-shot-cot": chain,
        "two-stage-cot": vote,
        "prompt-ensemble": answer,
        "least-risk": answer | {"samples": SAMPLES},
    }
    dear = {
        "word-problem": chain,
        "least-to-most": part,
        "successive": part | {"most": 4},
        "best-of-n": vote | {"n": SAMPLES},
        "self-consistency": vote | {"samples": SAMPLES},
    }
    # 2 lines of 2 proposals at each of 3 depths; 4 sub-problems of 4 each, if the model lists them
    dearest = {
        "tree-of-thoughts": {"width": 2, "branches": 2, "depth": 3, "max_tokens": PART},
        "recursive": part,
    }
    # 3 chains, one made of the best two, and each of the best two once more
    graph = {"branches": 3, "keep": 2, "merges": 1, "rounds": 1, "max_tokens": STEPS}
    shown = tuple(demonstrations(folder / TRAINING, seed))
    # A thought is a line, so a demonstration has one step on each.
    by_line = tuple(demonstrations(folder / TRAINING, seed, without_annotations))
    return [
        Table(items, cheap, MANY, shown),
        Table(items, dear, SOME, shown),
        Table(items, dearest, FEW, by_line),
        # Its prompts share every step of the model, so no other question can.
        Table(items, {"token-ensemble": answer}, SOME, shown, at_once=1),
        Table(items, {"graph-of-thoughts": graph}, FEW, shown),
    ]


def instructed_problems(folder, seed):
    """Methods whose prompts instruct, as turns of a chat: an answer comes with its reasons."""
    chain = {"max_tokens": STEPS}
    methods = {
        "zero-shot": chain,
        "stepwise": {"max_tokens": 2 * STEPS},
        "solve-then-judge": chain,
        "outline": {"max_tokens": PART, "outline_tokens": STEPS},
        "self-refine": {"max_tokens": STEPS, "max_iter": 1},
        "tools": {"max_tokens": STEPS, "max_calls": 3},
    }
    items = read_items(folder / PROBLEMS)
    return [Table(items, methods, SOME, plain=(zero_shot, chain), chat=True)]


def with_options(folder, seed):
    """Methods that score the options of a question."""
    items = read_items(folder / OPTIONS)
    scored = ["zero-shot", "few-shot", "calibrated", "prompt-ensemble", "marginal"]
    listed = ["choose-letter", "choose-option", "choose-cloze"]
    methods = {name: {} for name in scored + listed} | {"choose-generated": {"max_tokens": ANSWER}}
    # Those after the questions that are asked.
    shown = tuple(sample(items, MANY + SHOWN, seed)[MANY:])
    return [Table(items, methods, shown=shown, plain=(zero_shot, {}))]


def documents(folder, seed):
    """Methods that answer from a passage."""
    reply = {"max_tokens": PART}
    methods = {"zero-shot": reply, "context-only": reply, "rag": reply | {"k": 2}}
    items = retrieval_items(DRAWN, seed, documents=4, answerable=1.0)
    return [Table(items, methods, plain=(zero_shot, reply), chat=True)]


def topics(folder, seed):
    """A long passage, divided: the question holds the words of the book's prompt."""
    items = []
    for item in retrieval_items(DRAWN, seed, documents=12, answerable=0.5):
        topic = item.question.removeprefix("What is ").removesuffix("?")
        answer = {True: "no", False: "yes"}[item.answer == NO_ANSWER]
        task = f"Please determine whether the text discusses {topic}. Answer yes or no."
        items.append(replace(item, question=task, answer=answer))
    divided = {
        "size": 64,
        "map_template": "You are given a text. {topic}\n\n{segment}",
        "reduce_template": "{topic} The text has been divided into segments, and you have obtained "
        "the relevance of each segment. Based on this, please provide your final result."
        "\n\n{findings}",
        "max_tokens": ANSWER,
    }
    methods = {"zero-shot": {"max_tokens": ANSWER}, "map-reduce": divided}
    return [Table(items, methods, chat=True, judge=same_finding)]


def two_hops(folder, seed):
    """Questions that need two facts; the demonstrations need one."""
    answer = {"max_tokens": ANSWER}
    methods = {
        "zero-shot": answer,
        "few-shot": answer,
        "multi-hop": answer | {"k": 2, "most": 3},
        "in-parts": answer,
    }
    shown = tuple(multi_hop_items(2, seed + 1, hops=1))
    return [Table(multi_hop_items(DRAWN, seed), methods, shown=shown)]


def commands(folder, seed):
    """SCAN by the commands inside a command."""
    known, _ = length_split(8)
    seen = {*LISTED, *TRANSLATED}
    items = [scan_item(command) for command in known if command not in seen]
    # 8 actions have up to 21 tokens; as an expression inside a sentence they have more.
    actions, steps = {"max_tokens": 24}, {"max_tokens": PART}
    # The demonstrations of the method for SCAN, in the form of least-to-most.
    inside = tuple((scan_item(command), tuple(sub_commands(command)[:-1])) for command in LISTED)
    methods = {
        "zero-shot": actions,
        "few-shot": actions,
        "scan": steps,
        "least-to-most": steps | {"decompositions": inside},
    }
    shown = tuple(map(scan_item, TRANSLATED))
    plain = (zero_shot, actions)
    return [Table(items, methods, SOME, shown, plain, judge=same_text)]


def verses(folder, seed):
    """Translations, refined."""
    items = []
    for line in read_text_file(folder / VERSES).splitlines():
        _, english, spanish = line.split("\t")
        if 6 <= len(english.split()) <= 14:
            items.append(Item(spanish, english, task="verses"))
    reply = {"max_tokens": PART} | LANGUAGES
    methods = dict.fromkeys(["refine-aspects", "deliberate", "deliberate-negative"], reply)
    shown = tuple(sample(items, MANY + 3, seed)[MANY:])
    return [Table(items, methods, MANY, shown, (translate, reply), chat=True, judge=near_enough)]


# {list: (its function, the files it needs)}
LISTS = {
    "word problems": (word_problems, (TRAINING, PROBLEMS)),
    "word problems, in a chat": (instructed_problems, (PROBLEMS,)),
    "options": (with_options, (OPTIONS,)),
    "documents": (documents, ()),
    "topics": (topics, ()),
    "two hops": (two_hops, ()),
    "commands": (commands, ()),
    "verses": (verses, (VERSES,)),
}

# Where the other methods of `tinylm prompt --list` are measured.
ELSEWHERE = {
    "defined_labels.py": ("classify", "verbalizer"),
    "option_scores.py": ("batch-calibrated",),
    "extraction_by_prompt.py": ("names", "entities", "relations"),
    "tasks_by_prompt.py": ("write",),
    "written_tasks.py": (
        "story",
        "dialogue",
        "write-function",
        "complete-function",
        "summarize",
        "rewrite",
    ),
    "ensembles.py": ("grid", "model-vote", "model-average"),
    "prompt_variants.py": ("ape", "paraphrases", "grips"),
    "prompt_search.py": ("bandit", "evolution"),
    "prompts_by_feedback.py": ("protegi",),
    "chosen_demonstrations.py": ("nearest", "diverse", "clustered", "learned-retriever"),
    "own_demonstrations.py": ("auto-cot",),
    "compressed_prompts.py": ("simplified", "selective-context", "llmlingua"),
}
NOT_JUDGED = {
    "translate": "it is the plain prompt of the verses",
    "limited-passage": "it is a summary within a limit, as those of written_tasks.py",
    "extract": "keywords and events have no one right answer: any list of the text's words is one",
}

# Judges of what is no number, option or name.


def same_finding(value, item):
    """True if a reply states what the text discusses, in one word or in those of the prompt."""
    return read_finding(value or "") == item.answer


def same_text(value, item):
    """True if a reply is the answer to the letter; a command's own words are no actions."""
    return (value or "").strip() == item.answer


def near_enough(value, item):
    """True if a translation has half of its words in common with the reference."""
    return token_f1(answer_words(value or ""), answer_words(item.answer)) >= HALF
