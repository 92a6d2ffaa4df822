// The next token (next_token.py): bars that follow temperature, top-k, top-p and min-p, and the
// logit lens, a table of what each layer would predict at each place.
"use strict";

// The filters of generate/sample.py, number for number: scores stay float32 as they are there
// (Math.fround), probabilities are float64.
tinylm.sampling = {
  // Scores of softmax(scores / t), the highest taken off first.
  temperature(scores, t) {
    const top = scores.reduce((a, b) => Math.max(a, b));
    const narrow = Math.max(t, 1.1754943508222875e-38); // float32's smallest: 0 / 0 is nan
    return scores.map((z) => Math.fround(Math.fround(z - top) / Math.fround(narrow)));
  },
  // Ids from the highest score on; of equal ones the lowest id comes first.
  order(scores) {
    return Uint32Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b);
  },
  probabilities(scores) {
    const top = scores.reduce((a, b) => Math.max(a, b));
    const weights = Float64Array.from(scores, (z) => Math.exp(Math.fround(z - top)));
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.map((w) => w / total);
  },
  keep: (scores, kept) => scores.map((z, id) => (kept[id] ? z : -Infinity)),
  // The k highest scores.
  topK(scores, k) {
    if (k >= scores.length) return scores;
    const kept = new Uint8Array(scores.length);
    for (const id of this.order(scores).subarray(0, k)) kept[id] = 1;
    return this.keep(scores, kept);
  },
  // The fewest tokens, the most probable first, whose probability reaches p.
  topP(scores, p) {
    const shares = this.probabilities(scores);
    const kept = new Uint8Array(scores.length);
    let sum = 0;
    for (const id of this.order(scores)) {
      sum += shares[id];
      if (!(sum - shares[id] < p)) break; // those ahead have reached p
      kept[id] = 1;
    }
    return this.keep(scores, kept);
  },
  // Tokens at least p times as probable as the best.
  minP(scores, p) {
    if (p === 0) return scores;
    const top = scores.reduce((a, b) => Math.max(a, b));
    return scores.map((z) => (Math.fround(z - top) >= Math.log(p) ? z : -Infinity));
  },
  // All of them, in the library's order. A filter that is null is not applied; temperature 0 takes
  // the most probable token, the lowest id among equals.
  // Returns { scores, cut: for each id the name of the filter that took it, or null }.
  filtered(scores, { temperature = 1, topK = null, topP = null, minP = null }) {
    const cut = new Array(scores.length).fill(null);
    let left = temperature === 0 || temperature === 1 ? scores : this.temperature(scores, temperature);
    const filters = temperature === 0 ? [["temperature 0", "topK", 1]] : [["top-k", "topK", topK], ["top-p", "topP", topP], ["min-p", "minP", minP]];
    for (const [name, rule, bound] of filters) {
      if (bound === null) continue;
      const after = this[rule](left, bound);
      after.forEach((z, id) => z === -Infinity && left[id] !== -Infinity && (cut[id] = name));
      left = after;
    }
    return { scores: left, cut };
  },
  // -sum p log p in nats.
  entropy: (shares) => -shares.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0),
};

tinylm.figure("next_token", (root, data, tools) => {
  const { el, number, percent } = tools;
  const sampling = tinylm.sampling;
  const places = data.places.list();
  const V = data.vocabulary;
  const name = (id) => data.names[id] ?? { text: `<${id}>`, special: true };
  const isNext = data.ahead;
  const chosen = { place: places[places.length - 1], layer: data.lens ? data.lens.layers - 1 : 0 };
  const settings = { temperature: 1, topK: null, topP: null, minP: null };
  const SHOWN = 14; // bars

  // ---- The text so far, up to the place that is looked at ---------------------------------

  const context = el("div", { class: "context", tabindex: 0, role: "region", "aria-label": "The text so far" });
  function tellContext() {
    // What comes next has only what was before; a hidden place has both sides.
    const last = isNext ? chosen.place + 1 : Math.min(data.tokens.length, chosen.place + 30);
    const first = Math.max(0, last - 60);
    const shown = data.tokens.slice(first, last).map(tools.token);
    if (!isNext) shown[chosen.place - first] = el("mark", {}, shown[chosen.place - first]);
    context.replaceChildren(first ? "… " : "", ...shown, isNext ? el("strong", {}, " ?") : "");
  }

  // ---- Bars ------------------------------------------------------------------------------

  const bars = el("div", { role: "list", "aria-label": "Probabilities of the next token" });
  const summary = el("p", { class: "note", "aria-live": "polite" });

  function drawBars() {
    const logits = data.logits[chosen.place];
    tellContext();
    table.refresh();
    controls.hidden = !logits;
    if (!logits) {
      bars.replaceChildren();
      summary.textContent = "The page has no room for all scores at this place: see the table of layers below.";
      return;
    }
    const scores = logits.data;
    const own = sampling.probabilities(scores);
    const { scores: left, cut } = sampling.filtered(scores, settings);
    const after = sampling.probabilities(left);
    const order = sampling.order(scores).subarray(0, SHOWN);
    const top = Math.max(after[order[0]], own[order[0]], ...Array.from(order, (id) => after[id]));
    bars.replaceChildren(...Array.from(order, (id) => tools.bar({
      label: tools.token(name(id)), share: after[id] / top, ghost: own[id] / top, out: cut[id] !== null,
      text: cut[id] === null ? percent(after[id]) : `cut by ${cut[id]}`,
    })));
    const kept = cut.filter((why) => why === null).length;
    const lost = own.reduce((sum, p, id) => sum + (cut[id] === null ? 0 : p), 0);
    summary.textContent = `${kept} of ${V} tokens are left; the others held ${percent(lost)} of the model's probability. ` +
      `Entropy ${number(sampling.entropy(after))} nats, of the model's own ${number(sampling.entropy(own))}.`;
  }

  const turned = (key, off) => (value) => {
    settings[key] = value === off ? null : value;
    drawBars();
  };
  const sliders = [
    tools.slider({ label: "temperature", min: 0, max: 2, step: 0.05, value: 1, format: (t) => (t === 0 ? "0: the best" : number(t)) }, (t) => ((settings.temperature = t), drawBars())),
    tools.slider({ label: "top-k", min: 1, max: V, value: V, log: true, format: (k) => (Math.round(k) >= V ? "all" : String(Math.round(k))) }, (k) => turned("topK", V)(Math.round(k))),
    tools.slider({ label: "top-p", min: 0.01, max: 1, step: 0.01, value: 1, format: (p) => (p === 1 ? "off" : number(p)) }, turned("topP", 1)),
    tools.slider({ label: "min-p", min: 0, max: 1, step: 0.01, value: 0, format: (p) => (p === 0 ? "off" : number(p)) }, turned("minP", 0)),
  ];
  const reset = el("button", { type: "button", onclick: () => {
    Object.assign(settings, { temperature: 1, topK: null, topP: null, minP: null });
    [1, V, 1, 0].forEach((value, i) => sliders[i].set(value));
    drawBars();
  } }, "Reset");
  const controls = el("div", { class: "row" }, sliders.map((s) => s.element), reset);

  // ---- The logit lens ----------------------------------------------------------------------

  function lensTable() {
    const { layers, ids, probabilities, final } = data.lens;
    const finals = places.map((_, n) => ids.at(layers - 1, n, 0));
    const cells = [];
    const row = (l) => el("tr", {}, el("th", { scope: "row" }, `layer ${l}`), places.map((place, n) => {
      const id = ids.at(l, n, 0);
      const share = probabilities.at(l, n, 0);
      const rgb = tools.sequentialRGB(share);
      const button = el("button", { type: "button", class: id === finals[n] ? "agrees" : "",
        style: { background: `rgb(${rgb.join(" ")})`, color: tools.inkOn(rgb) },
        "aria-pressed": "false", tabindex: -1,
        "aria-label": `layer ${l}, place ${place}: ${tools.tokenText(name(id))}, ${percent(share)}`,
        onclick: () => choose(l, n) }, tools.token(name(id)));
      tools.tip(button, () => Array.from({ length: ids.shape[2] }, (_, k) =>
        `${percent(probabilities.at(l, n, k))}  ${tools.tokenText(name(ids.at(l, n, k)))}`).join("\n"));
      cells.push({ button, l, n });
      return el("td", {}, button);
    }));
    const body = Array.from({ length: layers }, (_, l) => row(layers - 1 - l));
    const table = el("table", { class: "lens" },
      el("caption", {}, isNext ? "Each column reads the text up to the token below it." : "Each column is a place of the text."),
      el("tbody", {}, body),
      el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, "text"), places.map((place) => el("th", { scope: "col" }, tools.token(data.tokens[place]))))));
    const cell = (l, n) => cells.find((c) => c.l === l && c.n === n).button;
    table.addEventListener("keydown", (event) => {
      const way = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [1, 0], ArrowDown: [-1, 0] }[event.key];
      if (!way) return;
      event.preventDefault();
      const l = Math.min(Math.max(chosen.layer + way[0], 0), layers - 1);
      const n = Math.min(Math.max(places.indexOf(chosen.place) + way[1], 0), places.length - 1);
      choose(l, n);
      cell(l, n).focus();
    });
    const rise = el("div");

    function choose(l, n) {
      Object.assign(chosen, { layer: l, place: places[n] });
      for (const c of cells) {
        const here = c.l === l && c.n === n;
        c.button.setAttribute("aria-pressed", String(here));
        c.button.tabIndex = here ? 0 : -1;
      }
      const x = Array.from({ length: layers }, (_, i) => i);
      const y = x.map((i) => final.at(i, n));
      const token = tools.tokenText(name(finals[n]));
      const first = x.find((i) => x.slice(i).every((k) => data.lens.rank.at(k, n) === 1));
      rise.replaceChildren(
        el("h3", {}, "How the answer forms: ", tools.token(name(finals[n]))),
        tools.lines({ series: [{ x, y, color: 0 }], x: [0, Math.max(1, layers - 1)], y: [0, Math.max(...y) * 1.05], whole: true, xLabel: "layer", yLabel: `probability of ${token}`, width: 460, height: 210, label: `Probability of ${token} by layer: ${y.map(percent).join(", ")}` }),
        el("p", { class: "note" }, `From layer ${first} on it is the most probable token. In layer 0 it had rank ${data.lens.rank.at(0, n)} of ${V}.`));
      drawBars();
    }
    tools.onTheme(() => cells.forEach(({ button, l, n }) => {
      const rgb = tools.sequentialRGB(probabilities.at(l, n, 0));
      Object.assign(button.style, { background: `rgb(${rgb.join(" ")})`, color: tools.inkOn(rgb) });
    }));
    choose(layers - 1, places.length - 1);
    return [
      el("h3", {}, "The logit lens"),
      el("p", { class: "note" }, "Each cell is the most probable token if the model ended at that layer; darker is surer, and what the last layer prefers is underlined. Choose a cell."),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Predictions of each layer" }, table), rise];
  }

  // ---- A place to choose where there is no lens ---------------------------------------------

  function placeChoice() {
    const options = places.map((place) => [place, `${place}: after ${tools.tokenText(data.tokens[place])}`]);
    const choice = tools.choice({ label: "Place", options, value: chosen.place }, (place) => ((chosen.place = place), drawBars()));
    return [choice.element, el("p", { class: "note" }, `No lens: ${data.why}.`)];
  }

  const table = tools.asTable("The probabilities as a table", () => {
    const logits = data.logits[chosen.place];
    if (!logits) return el("p", {}, "The scores of this place did not fit the page.");
    const own = sampling.probabilities(logits.data);
    const { scores, cut } = sampling.filtered(logits.data, settings);
    const after = sampling.probabilities(scores);
    return tools.table({
      caption: `At place ${chosen.place}, with the filters as they stand`,
      head: ["token", "logit", "probability", "after the filters"],
      rows: Array.from(sampling.order(logits.data).subarray(0, 50), (id) =>
        [tools.token(name(id)), number(logits.data[id], 6), number(own[id], 7), cut[id] === null ? number(after[id], 7) : `cut by ${cut[id]}`]),
    });
  });

  const extra = el("div");
  root.append(
    context,
    el("div", { class: "columns" },
      el("div", {}, bars, el("p", { class: "note" }, "The line in each bar marks the model's own probability.")),
      el("div", {}, controls, summary)),
    table, extra);
  const more = data.lens ? lensTable() : placeChoice();
  extra.append(...more);
  drawBars();
});
