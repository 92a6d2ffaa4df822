// Position encodings side by side: for each a matrix, and a line for what a distance does to a
// score. One slider, the query i, moves a mark through all of them. Data: positions.py.
"use strict";

tinylm.figure("positions", (root, data, tools) => {
  const { el, svg, number } = tools;
  const SIZE = 192; // of a matrix, in pixels
  const followers = []; // called with i and the head whenever one of them changes
  const T = data.shown;
  const heads = Math.max(...data.encodings.map((one) => one.scores.length));
  const now = { i: Math.floor((2 * T) / 3), head: 0, what: "rows" };
  const update = (change) => {
    Object.assign(now, change);
    for (const follow of followers) follow();
  };

  // A matrix with a frame around row i. `pick` gives what the matrix holds now, as (H, R, C).
  function matrix(one) {
    const shown = () => (now.what === "rows" && one.rows ? one.rows : one.scores.row(headOf(one)));
    const mark = el("div", { "aria-hidden": true, style: {
      position: "absolute", left: "0", border: "2px solid var(--focus)", pointerEvents: "none" } });
    const box = el("div", { style: { position: "relative", width: "fit-content" } });
    const note = el("p", { class: "label" });
    let drawn = null; // the matrix that the canvas shows
    let canvas = null;
    followers.push(() => {
      const values = shown();
      if (values !== drawn) {
        drawn = values;
        const [rows, columns] = values.shape;
        const finite = Array.from(values.data).filter(Number.isFinite);
        const [low, high] = [Math.min(...finite), Math.max(...finite)];
        const most = Math.max(-low, high) || 1;
        const what = values === one.rows ? "position by channel" : "query by key";
        canvas = tools.pixels({
          rows, columns, size: 1,
          rgb: (r, c) => tools.divergingRGB(values.at(r, c) / most),
          label: `${one.title}: ${what}, ${rows} by ${columns}, from ${number(low)} to ${number(high)}`,
        });
        Object.assign(canvas.style, { width: `${SIZE}px`, height: `${SIZE}px` });
        tools.tip(canvas, (event) => {
          const cell = canvas.cell(event);
          if (!cell || !Number.isFinite(values.at(...cell))) return null;
          const [r, c] = cell;
          const names = values === one.rows ? [`position ${r}`, `channel ${c}`] : [`query ${r}`, `key ${c}`];
          return `${names.join(", ")}: ${number(values.at(r, c))}`;
        });
        box.replaceChildren(canvas, mark);
        note.textContent = `${what}; orange ${number(Math.min(low, 0), 3)}, blue ${number(Math.max(high, 0), 3)}`;
      }
      const size = SIZE / values.shape[0];
      const row = Math.min(now.i, values.shape[0] - 1);
      Object.assign(mark.style, { top: `${row * size - 2}px`, height: `${size + 4}px`, width: `${SIZE}px` });
    });
    return el("div", { style: { width: `${SIZE}px` } }, box, note);
  }
  const headOf = (one) => Math.min(now.head, one.scores.length - 1);

  // What n tokens of distance do to the score: a line a head, and a mark at the furthest key of i.
  function curve(one) {
    const far = one.far;
    const x = Array.from({ length: far.shape[1] }, (_, n) => n);
    const series = Array.from({ length: far.length }, (_, h) => ({
      name: one.names[h], x, y: far.row(h).data, color: h }));
    // Untrained numbers of one head look like those of another: noise.
    if (one.values === "initial values" && one.noise) series.length = 1;
    const finite = Array.from(far.data).filter(Number.isFinite);
    const [low, high] = [Math.min(...finite, 0), Math.max(...finite, 0)];
    const options = { x: [0, x.length - 1], y: [low, high > low ? high : low + 1], width: 290, height: 214 };
    const label = `${one.title}: ${one.unit} by distance, ` +
      series.map((s) => `${s.name} from ${number(s.y[0])} to ${number(s.y[s.y.length - 1])}`).join("; ");
    const picture = tools.lines({
      series: series.map((s) => ({ ...s, name: series.length > 1 ? s.name : "" })),
      xLabel: "distance n = i − j (tokens)", yLabel: one.unit, label, ...options });
    // The same scale as the lines have, for the mark.
    const axes = tools.axes(options);
    const mark = svg("line", { y1: axes.box.top, y2: axes.box.bottom, "stroke-width": 1.5, "stroke-dasharray": "3 3" });
    mark.style.stroke = "var(--focus)";
    picture.append(mark);
    followers.push(() => {
      mark.setAttribute("x1", axes.x(Math.min(now.i, x.length - 1)));
      mark.setAttribute("x2", axes.x(Math.min(now.i, x.length - 1)));
    });
    return picture;
  }

  // RoPE's pairs as clocks, whose hands stand at the angles of position i.
  function clocks(one) {
    const { cos, sin, periods } = one.more;
    const few = Math.min(periods.length, 8);
    const pairs = Array.from({ length: few }, (_, k) => Math.round((k * (periods.length - 1)) / Math.max(few - 1, 1)));
    const hands = [];
    const faces = pairs.map((k, place) => {
      const [cx, cy, r] = [22 + 44 * place, 22, 17];
      const hand = svg("line", { x1: cx, y1: cy, "stroke-width": 2.5, "stroke-linecap": "round" });
      hand.style.stroke = "var(--value)";
      hands.push([hand, cx, cy, r, k]);
      const face = svg("circle", { cx, cy, r, fill: "none", "stroke-width": 1.2 });
      face.style.stroke = "var(--muted)";
      return svg("g", {}, face, hand,
        svg("text", { class: "quiet", x: cx, y: 56, "text-anchor": "middle" }, number(periods.at(k), 2)));
    });
    const picture = svg("svg", { viewBox: `0 0 ${44 * few} 76`, width: 44 * few, role: "img" }, faces,
      svg("text", { class: "quiet", x: 4, y: 72 }, "tokens of one turn"));
    followers.push(() => {
      const angles = hands.map(([hand, cx, cy, r, k]) => {
        const [c, s] = [cos.at(now.i, k), sin.at(now.i, k)];
        const length = Math.hypot(c, s) || 1;
        hand.setAttribute("x2", cx + (r * c) / length);
        hand.setAttribute("y2", cy - (r * s) / length);
        return `pair ${k} at ${Math.round(((Math.atan2(s, c) * 180) / Math.PI + 360) % 360)} degrees`;
      });
      picture.setAttribute("aria-label", `Position ${now.i}: ${angles.join(", ")}`);
    });
    return picture;
  }

  // T5: which bucket each distance falls into.
  function buckets(one) {
    const y = one.more.buckets.list();
    return tools.lines({
      series: [{ name: "", x: y.map((_, n) => n), y, color: 0 }], xLabel: "distance n (tokens)", yLabel: "bucket",
      width: 290, height: 150, label: `The bucket of each distance: ${y[0]} to ${y[y.length - 1]}` });
  }

  function numbers(one) {
    const n = one.far.shape[1];
    const rows = Array.from({ length: n }, (_, distance) =>
      [String(distance), ...Array.from({ length: one.far.length }, (_, h) => one.far.at(h, distance))]);
    return tools.table({ caption: `${one.title}: ${one.unit}`, head: ["distance", ...one.names], rows, digits: 7 });
  }

  function card(one) {
    const own = one.name === data.used;
    const extra = one.name === "rope" ? clocks(one) : one.name === "t5" ? buckets(one) : null;
    return el("article", { "data-name": one.name },
      el("h3", {}, one.title, own ? el("span", { class: "label" }, "  — this run’s own") : null),
      el("p", { class: "note" }, el("code", {}, one.formula)),
      el("p", { class: "note" }, `${one.about} Book ${/^\d/.test(one.section) ? "section " : ""}${one.section}; `,
        el("code", {}, one.file), `; ${one.values}.`),
      el("div", { class: "row", style: { alignItems: "start" } }, matrix(one), curve(one)),
      extra,
      tools.asTable(`Numbers of ${one.title}`, () => numbers(one)));
  }

  const query = tools.slider(
    { label: "Query i", min: 0, max: T - 1, step: 1, value: now.i }, (i) => update({ i }));
  const what = tools.choice({ label: "Matrices of vectors show", value: now.what,
    options: [["rows", "what a position is"], ["scores", "query by key"]] }, (w) => update({ what: w }));
  const head = tools.slider({ label: "Head of the matrices", min: 0, max: heads - 1, step: 1, value: 0,
    format: (h) => data.encodings.find((one) => one.scores.length === heads).names[h] }, (h) => update({ head: h }));
  const cards = data.encodings.map(card);
  root.append(
    el("div", { class: "row" }, query.element, what.element, heads > 1 ? head.element : null),
    el("div", { class: "columns", style: { gridTemplateColumns: "repeat(auto-fit, minmax(min(100%, 32rem), 1fr))" } }, cards));
  update({});
});
