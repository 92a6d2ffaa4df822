// The tree of a beam search: a column a step, a line from each string to the extensions that were
// looked at, as thick as the token is probable. Data: beams.py.
"use strict";

tinylm.figure("beam", (root, data, tools) => {
  const { el, svg, number, percent } = tools;
  const nodes = data.nodes;
  const last = nodes[nodes.length - 1].step;
  const [WIDE, HIGH, LEFT, BOX] = [128, 30, 64, 98];

  // The tokens of the string that ends in a node.
  const path = (n) => (nodes[n].parent < 0 ? [] : [...path(nodes[n].parent), n]);
  const text = (n) => path(n).map((m) => tools.tokenText(nodes[m].name)).join("") || "the prompt";
  const best = new Set(data.found.length ? path(data.found[0].node) : []);
  best.add(0);

  // Places: by step from the left, by rank among the step's extensions from above.
  const ranks = nodes.map((node, n) => nodes.slice(0, n).filter((other) => other.step === node.step).length);
  const most = Math.max(...ranks) + 1;
  const at = nodes.map((node, n) => ({
    x: node.step ? LEFT + WIDE * (node.step - 1) : 0,
    y: node.step ? HIGH * ranks[n] + 34 : (HIGH * most) / 2 + 20,
  }));
  const size = { width: LEFT + WIDE * last, height: HIGH * most + 44 };

  const LOOKS = { // fate -> [fill, stroke, dashes]
    kept: ["var(--value-soft)", "var(--value)", "none"],
    ended: ["var(--raised)", "var(--ink)", "none"],
    pruned: ["none", "var(--line)", "3 3"],
  };
  const groups = nodes.map((node, n) => {
    const group = svg("g", { "data-node": n });
    const { x, y } = at[n];
    if (node.step) {
      const from = at[node.parent];
      const [x1, y1] = [from.x + (node.parent ? BOX : 54), from.y];
      const line = svg("path", { d: `M${x1} ${y1}C${x1 + 18} ${y1} ${x - 18} ${y} ${x} ${y}`, fill: "none",
        "stroke-width": 0.8 + 6 * Math.exp(node.step_logprob) });
      line.style.stroke = best.has(n) ? "var(--gradient)" : node.fate === "pruned" ? "var(--line)" : "var(--value)";
      group.append(line);
    }
    const [fill, stroke, dashes] = LOOKS[node.fate];
    const box = svg("rect", { x, y: y - 12, rx: 4, width: node.step ? BOX : 54, height: 24, "stroke-dasharray": dashes,
      "stroke-width": best.has(n) && node.step ? 2.4 : 1 });
    box.style.fill = fill;
    box.style.stroke = best.has(n) && node.step ? "var(--gradient)" : stroke;
    const name = svg("text", { x: x + 6, y: y + 4, class: node.fate === "pruned" ? "quiet" : null },
      node.step ? tools.short(tools.tokenText(node.name), 7) : "prompt");
    if (node.fate === "pruned") name.style.textDecoration = "line-through";
    group.append(box, name);
    if (node.step) {
      group.append(svg("text", { class: "quiet", x: x + BOX - 4, y: y + 4, "text-anchor": "end" }, node.total.toFixed(1).replace("-", "−")));
      tools.tip(group, () => `${text(n)}\nlog Pr ${number(node.total)}; this token ${percent(Math.exp(node.step_logprob))}; ${node.fate}`);
    }
    return group;
  });
  const heads = Array.from({ length: last }, (_, s) =>
    svg("text", { class: "quiet", x: LEFT + WIDE * s, y: 12 }, `step ${s + 1}`));
  const picture = svg("svg", { viewBox: `0 0 ${size.width} ${size.height}`, width: size.width, role: "img",
    style: { maxWidth: "none" } }, heads, groups);

  const strings = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "strings that were found" });
  const steps = tools.steps({
    count: last, keys: root, name: "Step of the search",
    label: (step) => {
      if (!step) return "The prompt alone.";
      const of = nodes.filter((node) => node.step === step);
      const count = (fate) => of.filter((node) => node.fate === fate).length;
      const top = nodes.indexOf(of[0]);
      return `Step ${step}: ${of.length} extensions looked at, ${count("kept")} kept, ${count("ended")} ended, ` +
        `${count("pruned")} pruned; the best is “${text(top)}”, log Pr ${number(nodes[top].total)}.`;
    },
  }, (step) => {
    groups.forEach((group, n) => group.setAttribute("display", nodes[n].step > step ? "none" : "inline"));
    picture.setAttribute("aria-label", `Beam search of width ${data.width} up to step ${step} of ${last}`);
    strings.hidden = step < last;
  });

  const greedy = data.greedy_names.map(tools.tokenText).join("");
  strings.append(
    tools.table({
      caption: "What was found, best first, and what always taking the likeliest token finds",
      head: ["string", "log Pr", "probability"],
      rows: [
        ...data.found.map((one) => [text(one.node), one.logprob, percent(Math.exp(one.logprob))]),
        [`greedy: ${greedy}`, data.greedy, percent(Math.exp(data.greedy))],
      ],
      digits: 7,
    }));
  root.append(
    el("p", { class: "tokens" }, data.prompt.slice(-24).map(tools.token)),
    steps.element,
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "tree of the search" }, picture),
    el("p", { class: "note" }, "Right in a box: log Pr of the string so far, in nats. Orange: the best string that was found. " +
      "Struck out: pruned, because better extensions filled the beam."),
    strings,
    tools.asTable("All extensions as a table", () => tools.table({
      head: ["string", "step", "Pr of the token", "log Pr", "fate"],
      rows: nodes.slice(1).map((node, n) => [text(n + 1), node.step, Math.exp(node.step_logprob), node.total, node.fate]),
      digits: 7,
    })));
});
