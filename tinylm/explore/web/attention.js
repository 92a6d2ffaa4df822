// Attention of every layer and head (attention.py): a wall of small squares, one head drawn large,
// and the text itself, shaded by what the chosen token pays to each of the others.
"use strict";

tinylm.figure("attention", (root, data, tools) => {
  const { el, svg, number, percent } = tools;
  const T = data.queries.length;
  const S = data.keys.length;

  // ---- The numbers -----------------------------------------------------------------------

  // Where the pair (query i, key j) lies: in a causal head only the triangle j <= i was sent.
  const place = (i, j) => (data.causal ? (i * (i + 1)) / 2 + j : i * S + j);
  const hidden = (i, j) => data.causal && j > i;
  const payOf = (flat) => (i, j) => (hidden(i, j) ? 0 : flat[place(i, j)]);

  // A column of the wall: every head, then the mean over heads, then rollout.
  const columns = Array.from({ length: data.heads }, (_, h) => ({ name: `head ${h}`, short: String(h), kind: "head", head: h }));
  if (data.heads > 1) columns.push({ name: "mean over heads", short: "mean", kind: "mean" });
  if (data.rollout) columns.push({ name: "rollout", short: "rollout", kind: "rollout" });

  const means = []; // by layer, made when they are first looked at
  function meanOf(weights) {
    const sum = new Float64Array(weights.shape[1]);
    for (let h = 0; h < data.heads; h++) weights.row(h).data.forEach((w, k) => (sum[k] += w));
    return sum.map((total) => total / data.heads);
  }
  // The flat array of one square.
  function flatOf(layer, column) {
    if (column.kind === "head") return data.weights[layer].row(column.head).data;
    if (column.kind === "rollout") return data.rollout[layer].data;
    means[layer] ??= meanOf(data.weights[layer]);
    return means[layer];
  }
  const perLayer = (list, layer) => (list ? list[Math.min(layer, list.length - 1)] : null);
  function biasOf(layer, column) {
    const bias = perLayer(data.bias, layer);
    if (!bias || column.kind !== "head") return null;
    return bias.row(Math.min(column.head, bias.length - 1)).data;
  }
  const sees = (layer, i, j) => {
    if (hidden(i, j)) return false;
    const seen = perLayer(data.seen, layer);
    return seen ? Boolean(seen.data[place(i, j)]) : true;
  };

  // Most weights are small: shade grows with the square root, and the scale below says so.
  const shade = (w) => tools.sequentialRGB(Math.sqrt(w));
  const rgbOf = (layer, flat) => (i, j) => (sees(layer, i, j) ? shade(flat[place(i, j)]) : tools.maskedRGB());

  // The colors of a square of rows x columns pixels. One that stands for many pairs shows the
  // largest weight among them, so that a thin diagonal stays to be seen.
  function thumbnail(layer, column, rows, columns) {
    const flat = flatOf(layer, column);
    if (rows === T && columns === S) return rgbOf(layer, flat);
    const largest = new Float32Array(rows * columns).fill(-1); // -1: nothing is seen
    for (let i = 0; i < T; i++) {
      const row = Math.floor((i * rows) / T) * columns;
      for (let j = 0; j < (data.causal ? i + 1 : S); j++) {
        const k = row + Math.floor((j * columns) / S);
        if (flat[place(i, j)] > largest[k] && sees(layer, i, j)) largest[k] = flat[place(i, j)];
      }
    }
    return (r, c) => (largest[r * columns + c] < 0 ? tools.maskedRGB() : shade(largest[r * columns + c]));
  }

  // ---- What is chosen --------------------------------------------------------------------

  const chosen = { layer: data.layers.length - 1, column: 0, query: T - 1, view: "weights" };

  // ---- The wall of heads -----------------------------------------------------------------

  // As large as they fit beside the chosen head, and smaller where there are many layers.
  const room = Math.floor((Math.min(root.clientWidth, 540) - 64) / columns.length) - 7;
  const small = Math.max(24, Math.min(data.layers.length > 12 ? 40 : 76, room));
  const wall = el("div", { class: "heads", role: "group", "aria-label": "Layers and heads",
    style: { gridTemplateColumns: `auto repeat(${columns.length}, ${small + 4}px)` } });
  wall.append(el("span"), ...columns.map((c) => el("span", { class: "over" }, c.short)));
  const squares = data.layers.map((number_, layer) => {
    wall.append(el("span", { class: "layer" }, `layer ${number_}`));
    return columns.map((column, c) => {
      const button = el("button", { type: "button", "aria-pressed": "false", tabindex: -1,
        "aria-label": `layer ${number_}, ${column.name}`, onclick: () => choose({ layer, column: c }) });
      // A wall may hold hundreds of squares of many tokens: each is drawn when it is seen.
      button.style.width = button.style.height = `${small + 4}px`;
      tools.whenSeen(button, () => {
        const [rows, columns] = [Math.min(T, small), Math.min(S, small)];
        const canvas = tools.pixels({ rows, columns, rgb: thumbnail(layer, column, rows, columns), size: 1, label: "" });
        canvas.removeAttribute("role"), canvas.removeAttribute("aria-label");
        canvas.style.width = canvas.style.height = `${small}px`;
        button.append(canvas);
      });
      tools.tip(button, () => `layer ${number_}, ${column.name}`);
      wall.append(button);
      return button;
    });
  });
  wall.addEventListener("keydown", (event) => {
    const way = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!way) return;
    event.preventDefault();
    const layer = Math.min(Math.max(chosen.layer + way[0], 0), data.layers.length - 1);
    const column = Math.min(Math.max(chosen.column + way[1], 0), columns.length - 1);
    choose({ layer, column });
    squares[layer][column].focus();
  });

  // ---- The text: the query, and what it pays to each key -----------------------------------

  const tokenButtons = (tokens, label, act) => {
    const buttons = tokens.map((token, i) =>
      el("button", { type: "button", tabindex: -1, onclick: () => act(i) }, tools.token(token)));
    const box = el("div", { class: "paid", role: "group", "aria-label": label }, buttons);
    return { box, buttons };
  };
  const queries = tokenButtons(data.queries, "The query", (i) => choose({ query: i }));
  const keys = data.same ? queries : tokenButtons(data.keys, "The keys", () => {});
  queries.box.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1, Home: -T, End: T }[event.key];
    if (!way) return;
    event.preventDefault();
    choose({ query: Math.min(Math.max(chosen.query + way, 0), T - 1) });
    queries.buttons[chosen.query].focus();
  });
  keys.buttons.forEach((button, j) =>
    tools.tip(button, () => {
      if (!sees(chosen.layer, chosen.query, j)) return `${tools.tokenText(data.keys[j])}: hidden by the mask`;
      return `${tools.tokenText(data.keys[j])}: ${percent(now()(chosen.query, j))}`;
    }));

  // ---- One head, large -------------------------------------------------------------------

  const views = [["weights", "weights"]];
  if (data.bias) views.push(["bias", "bias by position"]);
  views.push(["mask", "mask"]);
  const view = tools.choice({ label: "Show", options: views, value: "weights" }, (value) => choose({ view: value }));
  const large = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The chosen head" });
  const title = el("h3");
  const bars = el("div", { role: "list", "aria-label": "What the query attends to" });
  const said = el("p", { class: "note", "aria-live": "polite" });
  const now = () => payOf(flatOf(chosen.layer, columns[chosen.column]));

  // The colors of the large picture, and what the pointer reads off it.
  function lens() {
    const { layer, view: what } = chosen;
    const column = columns[chosen.column];
    const flat = flatOf(layer, column);
    const bias = biasOf(layer, column);
    if (what === "mask") {
      return { rgb: (i, j) => (sees(layer, i, j) ? tools.sequentialRGB(0.45) : tools.maskedRGB()), text: (i, j) => (sees(layer, i, j) ? "seen" : "hidden") };
    }
    if (what === "bias" && bias) {
      const most = bias.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-12);
      return { rgb: (i, j) => (sees(layer, i, j) ? tools.divergingRGB(bias[place(i, j)] / most) : tools.maskedRGB()), text: (i, j) => (sees(layer, i, j) ? `adds ${number(bias[place(i, j)])} to the score` : "hidden") };
    }
    return {
      rgb: rgbOf(layer, flat),
      text: (i, j) => {
        if (!sees(layer, i, j)) return "hidden by the mask";
        const added = bias ? `\nits position adds ${number(bias[place(i, j)])} to the score` : "";
        return `pays ${percent(flat[place(i, j)])}${added}`;
      },
    };
  }

  function drawLarge() {
    const { rgb, text } = lens();
    const fit = Math.min(520, large.clientWidth - 110) / Math.max(S, T); // pixels of a cell
    const size = fit < 1 ? fit : Math.min(26, Math.floor(fit));
    const canvas = tools.pixels({ rows: T, columns: S, rgb, size, label: `${title.textContent}: ${T} by ${S} ${chosen.view}` });
    tools.tip(canvas, (event) => {
      const cell = canvas.cell(event);
      if (!cell) return null;
      return `${tools.tokenText(data.queries[cell[0]])} → ${tools.tokenText(data.keys[cell[1]])}\n${text(...cell)}`;
    });
    canvas.addEventListener("click", (event) => {
      const cell = canvas.cell(event);
      if (cell) choose({ query: cell[0] });
    });
    large.replaceChildren(framed(canvas, size));
  }

  // The canvas with the tokens at its sides, where there is room for a line of text.
  function framed(canvas, size) {
    const names = size >= 11;
    const [left, top] = names ? [92, 74] : [46, 20];
    const picture = svg("svg", { width: left + S * size + 4, height: top + T * size + 4, "aria-hidden": "true" });
    const clip = (token) => tools.short(tools.tokenText(token), 10);
    if (names) {
      data.queries.forEach((token, i) => picture.append(svg("text", { x: left - 6, y: top + (i + 0.5) * size + 4, "text-anchor": "end" }, clip(token))));
      data.keys.forEach((token, j) => picture.append(svg("text", { transform: `translate(${left + (j + 0.5) * size + 4} ${top - 6}) rotate(-60)` }, clip(token))));
    } else {
      for (const i of tools.ticks(0, T - 1, 4)) picture.append(svg("text", { class: "quiet", x: left - 6, y: top + (i + 0.5) * size + 4, "text-anchor": "end" }, i));
      for (const j of tools.ticks(0, S - 1, 4)) picture.append(svg("text", { class: "quiet", x: left + j * size, y: top - 6 }, j));
    }
    // A frame around the row of the query.
    picture.append(svg("rect", { x: left - 1, y: top + chosen.query * size - 1, width: S * size + 2, height: size + 2, fill: "none", stroke: "var(--focus)", "stroke-width": 2 }));
    Object.assign(canvas.style, { position: "absolute", left: `${left}px`, top: `${top}px` });
    Object.assign(picture.style, { position: "relative", pointerEvents: "none", maxWidth: "none" });
    return el("div", { style: { position: "relative" } }, canvas, picture);
  }

  // ---- Everything follows what is chosen -------------------------------------------------

  function choose(change) {
    Object.assign(chosen, change);
    const column = columns[chosen.column];
    const weight = now();
    const i = chosen.query;
    title.textContent = `Layer ${data.layers[chosen.layer]}, ${column.name}`;
    squares.flat().forEach((button) => (button.setAttribute("aria-pressed", "false"), (button.tabIndex = -1)));
    const square = squares[chosen.layer][chosen.column];
    square.setAttribute("aria-pressed", "true"), (square.tabIndex = 0);

    queries.buttons.forEach((button, k) => {
      button.classList.toggle("chosen", k === i);
      button.setAttribute("aria-pressed", String(k === i));
      button.tabIndex = k === i ? 0 : -1;
    });
    keys.buttons.forEach((button, j) => {
      const visible = sees(chosen.layer, i, j);
      const rgb = shade(visible ? weight(i, j) : 0);
      button.style.background = `rgb(${rgb.join(" ")})`;
      button.style.color = visible ? tools.inkOn(rgb) : "";
      button.classList.toggle("unseen", !visible);
    });
    drawLarge();
    drawBars(weight, i);
    table.refresh();
  }

  function drawBars(weight, i) {
    const order = data.keys.map((_, j) => j).filter((j) => sees(chosen.layer, i, j)).sort((a, b) => weight(i, b) - weight(i, a));
    const shown = order.slice(0, 8);
    const top = shown.length ? weight(i, shown[0]) : 1;
    const rest = order.slice(8).reduce((sum, j) => sum + weight(i, j), 0);
    bars.replaceChildren(
      ...shown.map((j) => tools.bar({ label: [tools.token(data.keys[j]), el("span", { class: "label" }, ` ${j}`)], share: weight(i, j) / (top || 1), text: percent(weight(i, j)) })),
      order.length > 8 ? tools.bar({ label: `${order.length - 8} others`, share: rest / (top || 1), text: percent(rest), color: "var(--muted)" }) : "",
    );
    const verb = columns[chosen.column].kind === "rollout" ? "draws most, through all layers so far, from" : "attends most to";
    said.replaceChildren("Token ", String(i), " ", tools.token(data.queries[i]), ` ${verb} `, shown.length ? tools.token(data.keys[shown[0]]) : "nobody", ".");
  }

  // ---- The scale, and the parts in their places --------------------------------------------

  const ramp = el("div", { class: "ramp" });
  const paint = () => {
    const stops = Array.from({ length: 11 }, (_, k) => `${tools.sequential(k / 10)} ${k * 10}%`);
    ramp.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  };
  paint();
  const scale = el("div", { class: "scale", role: "img", "aria-label": "Shades from 0 to 100 percent, growing with the square root" },
    ramp, el("div", { class: "ends" }, ["0", "6 %", "25 %", "56 %", "100 %"].map((text) => el("span", {}, text))));
  tools.onTheme(() => (paint(), choose({})));

  const notes = [];
  if (data.layers.length < data.all) notes.push(`Layers ${data.layers.join(", ")} of ${data.all}; --layers chooses others.`);
  if (data.half) notes.push("Weights of so many tokens travel as float16, with three digits.");
  if (data.rollout) notes.push("Rollout multiplies the means of all layers, half of each step passing straight on (Abnar and Zuidema 2020).");
  const table = tools.asTable("The chosen token's weights as a table", () => {
    const weight = now();
    return tools.table({
      caption: `${title.textContent}, token ${chosen.query}: ${tools.tokenText(data.queries[chosen.query])}`,
      head: ["key", "token", "weight"],
      rows: data.keys.map((token, j) => [String(j), tools.token(token), sees(chosen.layer, chosen.query, j) ? number(weight(chosen.query, j), 7) : "hidden"]),
    });
  });
  tools.fill(root,
    el("p", { class: "label" }, data.same ? "The text. Choose the query, the token that attends:" : "What the decoder wrote. Choose the query, the token that attends:"), queries.box,
    data.same ? null : [el("p", { class: "label" }, "The source, the keys:"), keys.box],
    el("div", { class: "row" }, scale),
    el("div", { class: "columns" },
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "All heads" }, wall),
      el("div", { class: "beside" }, title, view.element, large, said, bars)),
    table, notes.map((note) => el("p", { class: "note" }, note)));
  choose({});
});
