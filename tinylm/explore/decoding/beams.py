"""Search and speculation, as the decoders did them   (book section 2.1; Leviathan et al. 2023).

A beam search looks at more extensions than it keeps: all of them are in the tree, with what became
of each. Speculative decoding lets a cheap copy of the model draft, and each draft is kept or thrown
away by a number that was drawn. Both are told by the decoders themselves, through `watch`. Read
first: generate/strategies/beam.py, generate/strategies/speculative.py.
"""

import copy
import dataclasses
from typing import Any

import numpy as np

from tinylm.errors import TinylmError
from tinylm.explore.at_hand import AtHand, Unsuitable
from tinylm.explore.page import Figure, source_of
from tinylm.generate import as_language_model
from tinylm.generate.fast.direct import DirectDecoder
from tinylm.generate.protocol.language_model import LanguageModel
from tinylm.generate.strategies.beam import beam_search
from tinylm.generate.strategies.speculative import acceptance, residual, speculative_generate
from tinylm.models import GPT
from tinylm.nn import Module

WIDTH, LENGTH = 4, 8  # of the beam
DRAFTED, LOOKAHEAD = 24, 4
MOST_PROMPT = 256  # tokens of the prompt that are read
SHARES = 6  # tokens of a distribution that are shown


def beam_tree(
    lm: LanguageModel | Module, prompt: np.ndarray, width: int, length: int, eos: int | None
) -> dict:
    """A beam search as a tree.

    lm       a language model;  prompt  (T,) ids
    width    strings kept at every step;  length  tokens of a string at most
    returns  {"nodes": list of {"parent": number or -1, "step", "token": id, "total": log Pr of the
             string up to here, "step_logprob": of its token alone, "fate"}, the root first;
             "found": list of {"node", "logprob"} best first; "greedy": the log Pr of the string
             that a beam of width 1 finds}
    """
    root = {"parent": -1, "step": 0, "token": -1, "total": 0.0, "fate": "kept"}
    nodes: list[dict[str, Any]] = [root]
    ends = {}  # string -> its node
    strings = [()]  # of the nodes
    alive = [0]

    def watch(candidates):
        nonlocal alive
        step, kept = nodes[alive[0]]["step"] + 1, []
        for one in candidates:
            parent = alive[one.parent]
            strings.append((*strings[parent], one.token))
            if one.fate == "kept":
                kept.append(len(nodes))
            elif one.fate == "ended":
                ends[strings[-1]] = len(nodes)
            nodes.append({"parent": parent, "step": step} | dataclasses.asdict(one))
            nodes[-1]["parent"] = parent
        alive = kept

    found = beam_search(lm, prompt, length, width, eos, n_best=width, watch=watch)
    greedy = beam_search(lm, prompt, length, 1, eos)
    for node in nodes:
        before = nodes[node["parent"]]["total"] if node["parent"] >= 0 else 0.0
        node["step_logprob"] = node["total"] - before
    return {
        "nodes": nodes,
        "found": [{"node": ends[one.tokens], "logprob": one.logprob} for one in found],
        "greedy": greedy[0].logprob,
        "greedy_tokens": list(greedy[0].tokens),
    }


def speculation(
    lm: LanguageModel | Module,
    draft: LanguageModel | Module,
    prompt: np.ndarray,
    length: int = DRAFTED,
    lookahead: int = LOOKAHEAD,
    seed: int = 0,
) -> dict:
    """Speculative decoding round by round.

    lm, draft   language models;  prompt  (T,) ids;  length  tokens to generate
    returns     {"rounds": list of {"guesses": list, "taken": ids}, "drafted", "accepted",
                "readings", "tokens": ids}. A guess has token, p, q, chance (min(1, p/q)),
                uniform and accepted (None where it was not looked at), and shares: the tokens
                with most p and q, each with what is left for a rejection
    """
    rounds = []

    def watch(one):
        guesses = []
        judged = len(one.uniforms)
        for place, token in enumerate(one.guesses):
            p, q = one.p[place], one.q[place]
            chance = acceptance(p, q, token)
            looked_at = place < judged
            guesses.append(
                {
                    "token": token,
                    "p": float(p[token]),
                    "q": float(q[token]),
                    "chance": float(chance),
                    "uniform": one.uniforms[place] if looked_at else None,
                    "accepted": bool(one.uniforms[place] < chance) if looked_at else None,
                    "shares": _shares(p, q, token),
                }
            )
        rounds.append({"guesses": guesses, "taken": [int(t) for t in one.taken]})

    found = speculative_generate(
        lm, draft, prompt, length, lookahead, seed=seed, watch=watch, temperature=1.0
    )
    return {
        "rounds": rounds,
        "drafted": found.drafted,
        "accepted": found.accepted,
        "readings": found.readings,
        "tokens": [int(t) for t in found.tokens],
    }


def _shares(p, q, token):
    """The tokens that one of the two gives most, with the guess: [id, p, q, (p - q)+ / sum]."""
    left = residual(p, q)
    most = np.argsort(-np.maximum(p, q), kind="stable")[:SHARES].tolist()
    if token not in most:
        most[-1] = token
    return [[int(i), float(p[i]), float(q[i]), float(left[i])] for i in most]


def drafts_of(model: GPT) -> list[tuple]:
    """Cheap copies of a model that can draft for it: list of (name, what it is, language model)."""
    found = []
    try:
        name = "a copy of 4 bits a weight"
        found.append(("4 bits", name, DirectDecoder(model, 4)))
    except TinylmError:  # parts that it does not know, or widths that 32 does not divide
        pass
    half = model.config.n_layer // 2
    if half:
        shallow = copy.copy(model)
        shallow.blocks = model.blocks[:half]
        shallow.config = dataclasses.replace(model.config, n_layer=half)
        name = f"its first {half} of {model.config.n_layer} layers"
        found.append(("fewer layers", name, as_language_model(shallow)))
    return found


def figures(at_hand: AtHand) -> list[Figure]:
    """The tree of a beam search, and speculative decoding with each draft that can be made.

    raises   Unsuitable for a model that is no decoder
    """
    reading = at_hand.reading
    model = reading.model
    if not isinstance(model, GPT):
        raise Unsuitable(f"needs a decoder; this model is of kind {type(model).__name__}")
    room = model.config.context - max(LENGTH, DRAFTED)
    if room < 1:
        raise Unsuitable(f"needs a context of more than {DRAFTED} tokens")
    prompt = reading.ids[-min(room, MOST_PROMPT) :]
    # Of several ids that end a text the last made, which of chats is the one that ends a turn.
    eos = max(at_hand.opened.ends, default=None)
    lm = as_language_model(model)
    tree = beam_tree(lm, prompt, WIDTH, LENGTH, eos)
    names = at_hand.tokens(np.array([max(node["token"], 0) for node in tree["nodes"]]))
    for node, name in zip(tree["nodes"], names):
        node["name"] = name
    tree |= {
        "width": WIDTH,
        "prompt": at_hand.tokens(prompt),
        "greedy_names": at_hand.tokens(np.array(tree["greedy_tokens"])),
    }
    text = (
        f"All {2 * WIDTH} extensions that each step looked at: {WIDTH} strings are kept, the "
        "others pruned. A line is as thick as the token is probable. Book section 2.1, the search "
        f"for eq. 2.15; code: `{source_of(beam_search)}`."
    )
    found = [Figure("beam", "A beam search, with what it threw away", text, tree)]
    drafts = []
    for name, what, draft in drafts_of(model):
        made = speculation(lm, draft, prompt, seed=at_hand.seed)
        drafts.append({"name": name, "what": what} | _named(made, at_hand))
    if drafts:
        text = (
            f"A cheap model drafts up to {LOOKAHEAD} tokens, the model reads them all at once and "
            "keeps each with probability min(1, p/q): what comes out has the model's own "
            f"distribution. Leviathan et al. 2023; code: `{source_of(speculative_generate)}`."
        )
        data = {"prompt": at_hand.tokens(prompt), "drafts": drafts, "lookahead": LOOKAHEAD}
        found.append(Figure("speculative", "Speculative decoding, draft by draft", text, data))
    return found


def _named(made, at_hand):
    """A speculation with the tokens beside their ids."""
    for one in made["rounds"]:
        one["taken_names"] = at_hand.tokens(np.array(one["taken"]))
        for guess in one["guesses"]:
            guess["name"] = at_hand.tokens(np.array([guess["token"]]))[0]
            guess["share_names"] = at_hand.tokens(np.array([row[0] for row in guess["shares"]]))
    return made
