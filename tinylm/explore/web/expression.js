// The gradients of an expression, step by step (expression.py).
//
// Steps:  0         the leaves have values
//         1 .. F    operation by operation, in the order of the tape
//         F + 1     the gradient of the result by itself is 1
//         then      node by node, in the order of the walk back
// show(step) sets every card from the data alone, so going back shows what was there before.
"use strict";

tinylm.figure("expression", (root, data, tools) => {
  const { el, svg, number } = tools;
  const leaves = data.nodes.filter((node) => !node.op).length;
  const F = data.nodes.length - leaves;
  const output = data.steps[0].node;
  const nameOf = (i) => data.nodes[i].text;

  // Gradients after `count` backward steps: node -> { total, parts }.
  function gradientsAfter(count) {
    const found = new Map([[output, { total: data.steps[0].gradient, parts: 1 }]]);
    for (const { sends } of data.steps.slice(0, count)) {
      for (const { to, total } of sends) {
        const before = found.get(to) ?? { total: null, parts: 0 };
        found.set(to, { total: total ?? before.total, parts: before.parts + 1 });
      }
    }
    return found;
  }
  const allParts = gradientsAfter(data.steps.length);

  // ---- Cards: one for each node ----------------------------------------------------------

  const numbers = (array, kind) =>
    el("table", { class: `numbers of-${kind}`, role: "presentation" },
      el("tbody", {}, array.rows.map((row) => el("tr", {}, row.map((x) => el("td", {}, number(x, 3)))))));
  const shapeText = (shape) => (shape.length ? shape.join("×") : "");

  const cards = data.nodes.map((node, i) => {
    const title = node.op || node.name;
    // Filled by show(); the last gradient is there from the beginning, so that the card has its
    // final size and nothing moves later.
    const gradient = numbers(allParts.get(i)?.total ?? node.value, "gradient");
    const caption = el("div", { class: "caption" }, "gradient");
    const card = el("div", { class: "card", role: "listitem", tabindex: 0 },
      el("div", { class: "name" }, title, el("span", { class: "shape" }, shapeText(node.value.shape))),
      numbers(node.value, "value"), caption, gradient);
    tools.tip(card, () => `${node.text}\n${node.at ? `made by ${node.op}, ${node.at}` : "a leaf: its gradient is kept"}`);
    return { card, caption, gradient, cells: [...gradient.querySelectorAll("td")] };
  });

  // ---- Layout: a column for each distance from the leaves, or a row on a narrow screen ----

  const depth = data.nodes.map(() => 0);
  data.nodes.forEach((node, i) => {
    if (node.op) depth[i] = 1 + Math.max(-1, ...node.inputs.filter((j) => j >= 0).map((j) => depth[j]));
  });
  // A leaf stands one step before what reads it first.
  for (let i = 0; i < leaves; i++) {
    const readers = data.nodes.flatMap((node, j) => (node.inputs.includes(i) ? [depth[j]] : []));
    if (readers.length) depth[i] = Math.min(...readers) - 1;
  }
  const lines = svg("svg", { "aria-hidden": "true" });
  const graph = el("div", { class: "graph", role: "list", "aria-label": "The tape" }, lines, cards.map(({ card }) => card));
  const edges = data.nodes.flatMap((node, to) =>
    node.inputs.flatMap((from, argument) =>
      from < 0 ? [] : [{ from, to, argument, path: svg("path", {}) }]));
  lines.append(...edges.map((edge) => edge.path));

  function place() {
    graph.style.zoom = 1;
    const sizes = cards.map(({ card }) => [card.offsetWidth, card.offsetHeight]);
    const deepest = Math.max(...depth);
    const ranks = Array.from({ length: deepest + 1 }, (_, d) => depth.flatMap((at, i) => (at === d ? [i] : [])));
    const across = ranks.reduce((sum, rank) => sum + Math.max(0, ...rank.map((i) => sizes[i][0])) + 44, -44);
    const tall = graph.parentElement.clientWidth < Math.min(across, 700);
    const main = tall ? 1 : 0; // the axis along which the tape runs
    const gap = [tall ? 40 : 44, 22];
    const spans = ranks.map((rank) => rank.reduce((sum, i) => sum + sizes[i][1 - main] + gap[1], -gap[1]));
    const widest = Math.max(...spans);
    const spots = [];
    let along = 0;
    ranks.forEach((rank, d) => {
      let aside = (widest - spans[d]) / 2;
      const thick = Math.max(0, ...rank.map((i) => sizes[i][main]));
      for (const i of rank) {
        const spot = [0, 0];
        spot[main] = along + (thick - sizes[i][main]) / 2;
        spot[1 - main] = aside;
        aside += sizes[i][1 - main] + gap[1];
        spots[i] = spot;
        cards[i].card.style.left = `${spot[0]}px`;
        cards[i].card.style.top = `${spot[1]}px`;
      }
      along += thick + gap[0];
    });
    // On a narrow page the widest row is made to fit, as long as it can be read; else it scrolls.
    if (tall) graph.style.zoom = Math.min(1, Math.max(0.7, (graph.parentElement.clientWidth - 8) / widest));
    graph.style.width = `${tall ? widest : along - gap[0]}px`;
    graph.style.height = `${tall ? along - gap[0] : widest}px`;
    for (const { from, to, path } of edges) {
      const a = [spots[from][0] + sizes[from][0] / 2, spots[from][1] + sizes[from][1] / 2];
      const b = [spots[to][0] + sizes[to][0] / 2, spots[to][1] + sizes[to][1] / 2];
      a[main] = spots[from][main] + sizes[from][main];
      b[main] = spots[to][main];
      // Straight on past the cards between, and a curve in the last gap.
      const bend = [...a];
      bend[main] = Math.max(a[main], b[main] - gap[0]);
      const half = (b[main] - bend[main]) / 2;
      const [c, d] = [[...bend], [...b]];
      c[main] += half, (d[main] -= half);
      path.setAttribute("d", `M${a} L${bend} C${c} ${d} ${b}`);
    }
  }

  // ---- What a step shows -----------------------------------------------------------------

  function sentence(step) {
    if (step === 0) return `Start: ${leaves === 1 ? "one array has" : `${leaves} arrays have`} values, and nothing is recorded yet.`;
    if (step <= F) return `Forward ${step} of ${F}: ${nameOf(leaves + step - 1)}`;
    if (step === F + 1) return `The result by itself: the gradient of ${nameOf(output)} is 1.`;
    const back = data.steps[step - F - 2];
    const to = [...new Set(back.sends.map((send) => nameOf(send.to)))].join(" and ");
    return `Backward ${step - F - 1} of ${data.steps.length}: ${data.nodes[back.node].op} sends a part to ${to}`;
  }

  function show(step) {
    const count = Math.max(0, step - F - 1);
    const gradients = step > F ? gradientsAfter(count) : new Map();
    const back = count ? data.steps[count - 1] : null;
    const now = back ? back.node : step === 0 ? -1 : step > F ? output : leaves + step - 1;
    cards.forEach(({ card, caption, gradient, cells }, i) => {
      const words = ["card", i < leaves && "leaf", i >= leaves + step && "waiting", i === now && "now", step > F && "back"];
      card.className = words.filter(Boolean).join(" ");
      const found = gradients.get(i);
      gradient.className = `numbers of-gradient${found ? "" : " empty"}`;
      const values = found ? found.total.rows.flat() : [];
      cells.forEach((cell, k) => (cell.textContent = found ? number(values[k], 3) : "\u2007"));
      const parts = allParts.get(i)?.parts ?? 0;
      const partly = found && found.parts < parts ? ` (${found.parts} of ${parts} parts)` : "";
      caption.textContent = parts ? `gradient${partly}` : "no gradient";
      const value = i >= leaves + step ? "not computed yet" : data.nodes[i].value.rows.flat().map((x) => number(x, 3)).join(", ");
      card.setAttribute("aria-label", `${nameOf(i)}: value ${value}${found ? `; gradient${partly} ${values.map((x) => number(x, 3)).join(", ")}` : ""}`);
    });
    for (const { from, to, argument, path } of edges) {
      const sent = back && to === back.node && back.sends.some((send) => send.to === from && send.argument === argument);
      path.setAttribute("class", sent ? "backward" : step > 0 && step <= F && to === now ? "forward" : "");
    }
    rule.className = `rule ${step > F ? "backward" : "forward"}`;
    rule.replaceChildren(...(back ? explainBack(back) : explainForward(step)));
  }

  // ---- The rule that fired ---------------------------------------------------------------

  const rule = el("div", { class: "rule" });
  const code = (text) => el("pre", { tabindex: 0, "aria-label": "source" }, text);
  const at = (where) => el("code", {}, where);

  function explainForward(step) {
    if (step === 0) return [el("p", { class: "note" }, "Step forward, and each operation computes its value and leaves a node on the tape.")];
    if (step > F) return [el("p", {}, "dL/dL = 1. From here each node multiplies what it receives by its own derivative.")];
    const node = data.nodes[leaves + step - 1];
    const options = Object.entries(node.options).map(([name, value]) => `, ${name}=${value}`).join("");
    const inputs = node.inputs.map((from, i) => (from < 0 ? node.constants[i] : nameOf(from))).join(", ");
    return [
      el("p", {}, el("strong", {}, node.op), " computes ", el("code", {}, node.text), ": ", at(node.at)),
      code(`${node.op}(${inputs}${options})`),
      el("div", { class: "sum" }, numbers(node.value, "value")),
    ];
  }

  function explainBack(back) {
    const node = data.nodes[back.node];
    const letters = "ab";
    const parts = back.sends.map(({ to, argument, part, total }) => {
      const found = node.rules[argument];
      const whole = !total || JSON.stringify(part) === JSON.stringify(total);
      return el("div", {},
        el("p", {}, "to ", el("code", {}, nameOf(to)), " by ", at(found?.at ?? "")),
        code(found?.text ?? ""),
        el("div", { class: "sum" }, numbers(part, "gradient"),
          whole ? null : [el("span", {}, "added to what came before:"), numbers(total, "gradient")]));
    });
    return [
      el("p", {}, el("strong", {}, node.op), " received the whole gradient g of ", el("code", {}, node.text),
        ` (y is its value, ${letters.slice(0, node.inputs.length).split("").join(" and ")} ${node.inputs.length > 1 ? "are" : "is"} what it read):`),
      el("div", { class: "sum" }, el("span", {}, "g ="), numbers(back.gradient, "gradient")),
      el("div", { class: "sends" }, parts),
    ];
  }

  // ---- Everything together ---------------------------------------------------------------

  const total = F + 1 + data.steps.length;
  const steps = tools.steps({ count: total, label: sentence, keys: root, name: "Step through the tape" }, show);
  const table = tools.asTable("All values and gradients as a table", () => {
    const flat = (array) => (array ? array.rows.flat().map((x) => number(x, 8)).join("  ") : "none");
    return tools.table({
      caption: `${data.text}, after the last step`,
      head: ["node", "value", "gradient"],
      rows: data.nodes.map((node, i) => [node.text, flat(node.value), flat(allParts.get(i)?.total)]),
    });
  });
  root.append(steps.element, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The graph" }, graph), rule, table);
  for (const { card } of cards) {
    card.style.width = `${card.offsetWidth + 4}px`;
    card.style.height = `${card.offsetHeight}px`;
  }
  // At once, and whenever the width of the figure changes.
  new ResizeObserver(place).observe(graph.parentElement);
  place();
});
