// Speculative decoding: every draft with the two probabilities that judged it, and the number that
// was drawn. A line is one reading of the large model. Data: beams.py.
"use strict";

tinylm.figure("speculative", (root, data, tools) => {
  const { el, percent, number } = tools;
  const place = el("div");

  const BOX = { display: "inline-flex", gap: ".25rem", border: "1px solid var(--line)", borderRadius: ".3rem", padding: "0 .3rem", marginInlineEnd: ".25rem" };
  const LOOKS = {
    accepted: ["✓", { borderColor: "var(--value)", background: "var(--value-soft)" }],
    rejected: ["✗", { borderColor: "var(--gradient)", background: "var(--gradient-soft)", textDecoration: "line-through" }],
    "not looked at": ["", { borderStyle: "dotted", color: "var(--muted)" }],
    "the model’s own": ["+", { borderColor: "var(--ink)", borderWidth: "2px" }],
    drafted: ["?", { borderStyle: "dashed", borderColor: "var(--focus)" }],
  };
  const chip = (name, look) => el("span", { style: { ...BOX, ...LOOKS[look][1] }, title: look },
    tools.token(name), LOOKS[look][0] ? el("span", { "aria-hidden": true }, LOOKS[look][0]) : null,
    el("span", { class: "hidden" }, ` ${look}`));

  const verdict = (guess) => (guess.accepted === null ? "not looked at" : guess.accepted ? "accepted" : "rejected");

  // The guess that is judged: q and p of the tokens that matter, and the number against the chance.
  function judged(guess) {
    const most = Math.max(...guess.shares.flatMap((share) => [share[1], share[2]]));
    const bars = guess.shares.map(([id, p, q, left], k) => el("div", {},
      tools.bar({ label: tools.token(guess.share_names[k]), share: p / most, ghost: q / most,
        text: `${percent(p)} | ${percent(q)}` }),
      guess.accepted === false && left > 0 ? el("span", { class: "label" }, `after the rejection: ${percent(left)}`) : null));
    const chance = el("div", {},
      tools.bar({ label: "min(1, p / q)", share: guess.chance, ghost: guess.uniform, text: number(guess.chance) }),
      el("p", { class: "note" }, guess.uniform === null ? "Not looked at: a guess before it was rejected." :
        `Drawn: ${number(guess.uniform)}, the mark. ${guess.accepted ? "Below min(1, p/q): the draft is kept." :
          "Not below min(1, p/q): the draft goes, and another token is drawn from (p − q)+."}`));
    return el("div", { class: "columns" },
      el("div", {}, el("h3", {}, "The draft ", tools.token(guess.name), ": bar p (the model), mark q (the draft)"), el("div", { role: "list" }, bars)),
      el("div", {}, el("h3", {}, "Kept with probability min(1, p / q)"), el("div", { role: "list" }, chance)));
  }

  // What happens one after another: each guess that was looked at, and the own token of a round.
  const eventsOf = (draft) => draft.rounds.flatMap((round, r) => [
    ...round.guesses.flatMap((guess, g) => (guess.accepted === null ? [] : [{ r, g }])),
    { r, g: -1 },
  ]);

  function drawn(draft) {
    const events = eventsOf(draft);
    const lines = el("ol", { style: { listStyle: "none", padding: "0" } });
    const panel = el("div", { style: { minHeight: "17rem" } });
    const accepted = (round) => round.guesses.filter((guess) => guess.accepted).length;
    const own = (round) => round.taken.length > accepted(round); // an end token that was drafted ends all
    const steps = tools.steps({
      count: events.length, keys: place, name: "Step of the decoding",
      label: (step) => {
        if (!step) return "Nothing is drafted yet.";
        const { r, g } = events[step - 1];
        const round = draft.rounds[r];
        if (g >= 0) return `Reading ${r + 1}, guess ${g + 1} of ${round.guesses.length}: ${verdict(round.guesses[g])}.`;
        const all = accepted(round) === round.guesses.length;
        return `Reading ${r + 1} adds ${round.taken.length} token${round.taken.length > 1 ? "s" : ""}: ${accepted(round)} drafted, ` +
          `${own(round) ? (all ? "one drawn from p after the last guess." : "one drawn from (p − q)+ in place of the rejected.") : "none of its own."}`;
      },
    }, (step) => {
      const { r, g } = step ? events[step - 1] : { r: -1, g: -1 };
      lines.replaceChildren(...draft.rounds.slice(0, r + 1).map((round, i) => {
        const chips = round.guesses.map((guess, k) => {
          const open = i === r && g >= 0 && k > g;
          return chip(guess.name, open ? "drafted" : verdict(guess));
        });
        if ((i < r || g < 0) && own(round)) chips.push(chip(round.taken_names[round.taken.length - 1], "the model’s own"));
        return el("li", { style: { padding: ".18rem 0" } }, el("span", { class: "label" }, `reading ${i + 1}  `), chips);
      }));
      panel.replaceChildren(...(g >= 0 ? [judged(draft.rounds[r].guesses[g])] : []));
    });
    const rows = draft.rounds.flatMap((round, r) => round.guesses.map((guess, g) =>
      [String(r + 1), String(g + 1), tools.tokenText(guess.name), guess.p, guess.q, guess.chance, guess.uniform ?? NaN, verdict(guess)]));
    place.replaceChildren(
      el("p", {}, `Drafted by ${draft.what}: ${draft.accepted} of ${draft.drafted} drafts kept, ` +
        `${draft.tokens.length} tokens in ${draft.readings} readings of the model; one at a time it would take ${draft.tokens.length}.`),
      steps.element, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "drafts" }, lines), panel,
      tools.asTable("All drafts as a table", () => tools.table({
        head: ["reading", "guess", "token", "p", "q", "min(1, p/q)", "drawn", "verdict"], rows, digits: 7 })));
  }

  const choice = tools.choice({ label: "Who drafts", value: 0, options: data.drafts.map((one, i) => [i, one.name]) },
    (i) => drawn(data.drafts[i]));
  root.append(el("p", { class: "tokens" }, data.prompt.slice(-24).map(tools.token)), choice.element, place);
  drawn(data.drafts[0]);
});
