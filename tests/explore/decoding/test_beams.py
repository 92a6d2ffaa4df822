"""The tree and the drafts are what the decoders did, and their numbers are the model's."""

import numpy as np
import pytest

from tests.explore.models import at_hand, unfolded
from tinylm.explore import page
from tinylm.explore.decoding.beams import beam_tree, drafts_of, figures, speculation
from tinylm.generate import EnumerableLM, as_language_model, sequence_logprob
from tinylm.generate.strategies.beam import beam_search
from tinylm.generate.strategies.speculative import speculative_generate


@pytest.fixture(scope="module")
def lm():
    """Four tokens, strings of four, probabilities drawn at random."""
    rng = np.random.default_rng(1)
    return EnumerableLM([rng.dirichlet(np.ones(4), (4,) * i) for i in range(1, 6)])


def string(tree, node):
    tokens = []
    while node:
        tokens.append(tree["nodes"][node]["token"])
        node = tree["nodes"][node]["parent"]
    return tuple(tokens[::-1])


def test_totals_are_the_log_probabilities_of_the_strings(lm):
    tree = beam_tree(lm, np.array([0]), width=2, length=4, eos=None)
    for n, node in enumerate(tree["nodes"][1:], 1):
        expected = sequence_logprob(lm, [0, *string(tree, n)])
        assert node["total"] == pytest.approx(expected, rel=1e-12)
        assert node["step"] == len(string(tree, n))


def test_the_best_of_a_step_are_kept_and_the_found_are_the_search_s(lm):
    tree = beam_tree(lm, np.array([0]), width=2, length=4, eos=None)
    for step in (1, 2, 3):
        of = [node for node in tree["nodes"] if node["step"] == step]
        totals = [node["total"] for node in of]
        assert totals == sorted(totals, reverse=True) and len(of) == 4  # twice the width
        assert [node["fate"] for node in of] == ["kept"] * 2 + ["pruned"] * 2
    found = beam_search(lm, [0], 4, 2, n_best=2)
    assert [string(tree, one["node"]) for one in tree["found"]] == [one.tokens for one in found]
    assert tree["greedy"] == beam_search(lm, [0], 4, 1)[0].logprob


def test_a_string_that_ends_is_marked(lm):
    tree = beam_tree(lm, np.array([0]), width=3, length=4, eos=2)
    ended = [node for node in tree["nodes"] if node["fate"] == "ended"]
    assert ended and all(node["token"] == 2 or node["step"] == 4 for node in ended)
    assert {one["node"] for one in tree["found"]} <= {
        n for n, node in enumerate(tree["nodes"]) if node["fate"] == "ended"
    }


def test_drafts_are_judged_by_the_two_probabilities(lm):
    rng = np.random.default_rng(2)
    draft = EnumerableLM([rng.dirichlet(np.ones(4), (4,) * i) for i in range(1, 6)])
    accepted = rejected = 0
    for seed in range(8):
        made = speculation(lm, draft, np.array([0]), length=4, lookahead=2, seed=seed)
        plain = speculative_generate(lm, draft, [0], 4, 2, seed=seed, temperature=1.0)
        assert made["tokens"] == plain.tokens and made["accepted"] == plain.accepted
        sequence = [0]
        for one in made["rounds"]:
            before = list(sequence)
            for guess in one["guesses"]:
                for model, key in ((lm, "p"), (draft, "q")):
                    logits = model.logits(np.array([before]))[0, -1]
                    p = np.exp(logits - logits.max())
                    assert guess[key] == pytest.approx((p / p.sum())[guess["token"]], rel=1e-9)
                assert guess["chance"] == pytest.approx(min(1, guess["p"] / guess["q"]))
                if guess["accepted"] is not None:
                    assert guess["accepted"] == (guess["uniform"] < guess["chance"])
                    accepted += guess["accepted"]
                    rejected += not guess["accepted"]
                before.append(guess["token"])
            sequence += one["taken"]
        assert sequence[1:] == made["tokens"]
    assert accepted and rejected


def test_after_a_rejection_the_shares_are_what_p_has_more(lm):
    draft = EnumerableLM([np.full((4,) * i, 0.25) for i in range(2, 7)])
    made = speculation(lm, draft, np.array([0]), length=4)
    for one in made["rounds"]:
        for guess in one["guesses"]:
            shares = np.array(guess["shares"])  # all four tokens
            more = np.maximum(shares[:, 1] - shares[:, 2], 0)
            np.testing.assert_allclose(shares[:, 3], more / more.sum(), atol=1e-12)


def test_a_model_drafts_for_itself_in_fewer_bits_and_in_fewer_layers():
    model = at_hand().model
    drafts = drafts_of(model)
    assert [name for name, _, _ in drafts] == ["4 bits", "fewer layers"]
    own = as_language_model(model).logits(np.array([[1, 2, 3]]))
    shallow = drafts[1][2].logits(np.array([[1, 2, 3]]))
    assert model.config.n_layer == 2 and len(model.blocks) == 2  # the model is as it was
    assert not np.allclose(own, shallow)
    assert [name for name, _, _ in drafts_of(at_hand(n_layer=1, d_model=16).model)] == []


# In the browser.


def test_the_tree_steps_there_and_back(open_page):
    made = figures(at_hand())
    opened = open_page(page("beams", made)).drawn()
    tree = opened.page.locator("#beam-1")
    stage = tree.locator(".stage")
    shown = []
    for _ in range(9):
        shown.append(stage.inner_html())
        opened.page.locator("#beam-1").get_by_role("button", name="Step back").press("ArrowLeft")
    assert len(set(shown)) == 9  # 8 steps and the prompt
    for before in shown[-2::-1]:
        tree.get_by_role("button", name="Step forward").press("ArrowRight")
        assert stage.inner_html() == before
    rows = unfolded(tree).evaluate(
        "t => [...t.querySelectorAll('tbody tr')].map(r => r.children[3].textContent)"
    )
    totals = [float(cell.replace("−", "-")) for cell in rows]
    expected = [node["total"] for node in made[0].data["nodes"][1:]]
    np.testing.assert_allclose(totals, expected, rtol=1e-6)
    assert opened.complaints == [] and opened.requests == []


def test_every_draft_is_in_the_page(open_page):
    made = figures(at_hand(prompt="\ud83d\u202eab</script>".encode("utf-8", "ignore").decode()))
    opened = open_page(page("beams", made), width=360, dark=True).drawn()
    part = opened.page.locator("#speculative-1")
    rows = unfolded(part).evaluate(
        "t => [...t.querySelectorAll('tbody tr')].map("
        "r => [3, 4, 5].map(i => r.children[i].textContent))"
    )
    draft = made[1].data["drafts"][0]
    guesses = [guess for one in draft["rounds"] for guess in one["guesses"]]
    expected = [[guess["p"], guess["q"], guess["chance"]] for guess in guesses]
    np.testing.assert_allclose(np.array(rows, float), expected, rtol=1e-6)
    lines = part.locator("ol")
    before = lines.inner_html()
    part.get_by_role("button", name="Step back").click()
    assert lines.inner_html() != before
    part.get_by_role("button", name="Step forward").click()
    assert lines.inner_html() == before
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.complaints == []
