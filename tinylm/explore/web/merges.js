// Byte-pair encoding of a word: the neighbors with the ranks of their merges, and the tree that the
// merges build over the bytes. Data: merges.py.
"use strict";

tinylm.figure("merges", (root, data, tools) => {
  const { el, svg } = tools;
  const place = el("div");
  const [CELL, HIGH] = [46, 40];
  const name = tools.tokenText;

  // The tokens of a step as spans over the bytes: { from, to, token }.
  const spansOf = (step) => {
    let at = 0;
    return step.tokens.map((token, k) => ({ token, from: at, to: (at += step.sizes[k]) }));
  };

  function drawn(piece) {
    const { steps } = piece;
    const all = steps.map(spansOf);
    const bytes = all[0];
    // What each merge makes, with its level: one above its two halves.
    const level = new Map(bytes.map((span) => [`${span.from}-${span.to}`, 0]));
    const made = steps.slice(0, -1).map((step, s) => {
      const [left, right] = [all[s][step.place], all[s][step.place + 1]];
      const height = 1 + Math.max(level.get(`${left.from}-${left.to}`), level.get(`${right.from}-${right.to}`));
      level.set(`${left.from}-${right.to}`, height);
      const token = all[s + 1][step.place].token;
      return { left, right, from: left.from, to: right.to, height, token, rank: step.rank };
    });
    const top = Math.max(0, ...made.map((one) => one.height));
    const end = bytes.at(-1)?.to ?? 1;
    const y = (height) => 8 + (top - height) * HIGH;
    const heightOf = (span) => level.get(`${span.from}-${span.to}`);
    const middle = (span) => (CELL * (span.from + span.to)) / 2;

    // A box over the bytes of a token. The frame of what is a token now is strong.
    const box = (span, height, rank) => {
      const [x, wide] = [CELL * span.from + 3, CELL * (span.to - span.from) - 6];
      const rect = svg("rect", { x, y: y(height), width: wide, height: 26, rx: 4 });
      const most = Math.max(3, Math.floor(wide / 8));
      const word = name(span.token);
      const text = svg("text", { x: middle(span), y: y(height) + 17, "text-anchor": "middle" }, tools.short(word, most));
      const group = svg("g", {}, rect, text);
      if (rank !== undefined && wide > 75) {
        group.append(svg("text", { class: "quiet", x: x + wide - 5, y: y(height) + 17, "text-anchor": "end", "font-size": 10 }, rank));
      }
      tools.tip(group, () => (rank === undefined ? `the byte ${word}` : `${word}: merge ${rank} of ${data.merges}`));
      return { group, rect };
    };
    const leaves = bytes.map((span) => ({ span, ...box(span, 0) }));
    const inner = made.map((one) => {
      const stems = [one.left, one.right].map((half) => {
        const line = svg("path", { fill: "none", d: `M${middle(one)} ${y(one.height) + 26}L${middle(half)} ${y(heightOf(half))}` });
        line.style.stroke = "var(--line)";
        return line;
      });
      const drawing = box(one, one.height, one.rank);
      drawing.group.prepend(...stems);
      return { span: one, ...drawing };
    });
    const picture = svg("svg", { viewBox: `0 0 ${CELL * end} ${y(0) + 34}`, width: CELL * end, role: "img", style: { maxWidth: "none" } },
      inner.map((one) => one.group), leaves.map((one) => one.group));

    // The tokens in a row, between them the rank of the merge that would join them.
    const row = el("div", { class: "row", style: { gap: ".2rem", alignItems: "center", minHeight: "2.6rem" } });
    const steering = tools.steps({
      count: steps.length - 1, keys: place, name: "Merge",
      label: (s) => {
        const { place: at, rank, tokens, ranks } = steps[s];
        if (at < 0) return `No merge joins any pair that is left: ${tokens.length} token${tokens.length === 1 ? "" : "s"}, ids ${piece.ids.join(", ")}.`;
        const others = ranks.filter((r) => r !== null).length - 1;
        return `“${name(tokens[at])}” and “${name(tokens[at + 1])}” are joined next: merge ${rank}, learnt before those of ${others} other pair${others === 1 ? "" : "s"}.`;
      },
    }, (s) => {
      const step = steps[s];
      const now = new Set(all[s].map((span) => `${span.from}-${span.to}`));
      for (const { span, rect, group } of [...leaves, ...inner]) {
        const current = now.has(`${span.from}-${span.to}`);
        rect.style.fill = current ? "var(--value-soft)" : "var(--raised)";
        rect.style.stroke = current ? "var(--value)" : "var(--line)";
        group.style.opacity = current ? 1 : 0.75;
      }
      inner.forEach(({ group }, k) => group.setAttribute("display", k < s ? "inline" : "none"));
      picture.setAttribute("aria-label", `After ${s} merges: ${step.tokens.map(name).join(", ")}`);
      row.replaceChildren(...step.tokens.flatMap((token, k) => {
        const rank = step.ranks[k];
        const next = k === step.place;
        const join = k + 1 === step.tokens.length ? [] : [el("span", { class: "label", style: {
          color: next ? "var(--gradient)" : null, fontWeight: next ? "700" : null } },
          rank === null ? "·" : next ? `→ ${rank} ←` : String(rank))];
        return [el("span", { style: { border: "1px solid var(--value)", background: "var(--value-soft)", borderRadius: ".3rem", padding: "0 .35rem" } }, tools.token(token)), ...join];
      }));
    });
    place.replaceChildren(steering.element, row,
      el("p", { class: "note" }, "Between two tokens: the rank of the merge that joins them, 0 for the first that was learnt; a dot where none does."),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "tree of merges" }, picture),
      tools.asTable("All merges as a table", () => tools.table({
        head: ["tokens", "joined", "rank"],
        rows: steps.map((step) => [step.tokens.map(name).join(" | "),
          step.place < 0 ? "nothing" : `${name(step.tokens[step.place])} + ${name(step.tokens[step.place + 1])}`, step.rank ?? "none"]) })));
  }

  const choice = tools.choice({ label: "Piece of the text", value: 0,
    options: data.pieces.map((piece, i) => [i, name(piece.piece)]) }, (i) => drawn(data.pieces[i]));
  root.append(
    el("p", { class: "note" }, `A vocabulary of ${data.vocabulary} tokens, ${data.merges} of them made by merges. The text is cut into pieces first; no merge crosses their borders.`),
    choice.element, place);
  drawn(data.pieces[0]);
});
