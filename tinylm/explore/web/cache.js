// Caches of keys and values, token by token: what lies in which slot, what was overwritten, and how
// many bytes it takes. Data: cache.py.
"use strict";

tinylm.figure("cache", (root, data, tools) => {
  const { el, svg } = tools;
  const T = data.tokens.length;
  const name = (t) => tools.tokenText(data.tokens[t]);
  const most = Math.max(...data.caches.flatMap((one) => one.steps.map((step) => step.bytes)));

  const SLOT = {
    display: "inline-grid", placeItems: "center", verticalAlign: "top", width: "3.1rem", height: "3rem", margin: "1px",
    border: "1px solid var(--line)", borderRadius: ".25rem", fontSize: ".78rem", overflow: "hidden", lineHeight: "1.1",
  };
  // One slot: the token in it with its number, the newest filled, a free one dashed.
  function slot(token, newest, was) {
    const look = token < 0 ? { borderStyle: "dashed", color: "var(--muted)" }
      : token === newest ? { background: "var(--value-soft)", borderColor: "var(--value)", borderWidth: "2px" } : {};
    return el("span", { style: { ...SLOT, ...look } },
      el("span", { style: { whiteSpace: "nowrap" } }, token < 0 ? "free" : tools.short(name(token), 6)),
      el("span", { class: "label", style: { fontSize: ".68rem" } },
        token < 0 ? "" : String(token)),
      was >= 0 ? el("span", { class: "label", style: { fontSize: ".68rem", whiteSpace: "nowrap" } }, "was ", el("s", {}, was)) : null);
  }

  // The slots of a cache after a step. Blocks stand together; a cache of fixed size shows free slots.
  function slots(one, step) {
    const now = one.steps[step];
    const before = step ? one.steps[step - 1].slots : [];
    const newest = step - 1;
    const size = one.capacity ?? (one.block ? Math.ceil(now.slots.length / one.block) * one.block : now.slots.length);
    const boxes = Array.from({ length: size }, (_, s) => {
      const token = s < now.slots.length ? now.slots[s] : -1;
      const was = token === newest && s < before.length && before[s] !== token ? before[s] : -1;
      return slot(token, newest, was);
    });
    if (!one.block) return boxes;
    const blocks = [];
    for (let b = 0; b < boxes.length; b += one.block) {
      blocks.push(el("span", { style: { display: "inline-block", border: "1px solid var(--muted)", borderRadius: ".35rem", margin: "0 .2rem .2rem 0", padding: "1px" } },
        boxes.slice(b, b + one.block)));
    }
    return blocks;
  }

  const rows = data.caches.map((one) => {
    const place = el("div", { style: { minHeight: "3.2rem" } });
    const bar = el("div", { role: "list" });
    const element = el("article", { "data-name": one.name },
      el("h3", {}, one.name), el("p", { class: "note" }, `${one.about} `, el("code", {}, one.file)), place, bar);
    const draw = (step) => {
      const now = one.steps[step];
      place.replaceChildren(...slots(one, step));
      bar.replaceChildren(tools.bar({ label: "bytes", share: now.bytes / most, text: tools.bytes(now.bytes) }));
    };
    return { one, element, draw };
  });

  // Bytes by tokens, and what forgetting costs; both with a mark at the token that is read.
  function chart(series, yLabel, label, from, yText) {
    const x = [0, T];
    const all = series.flatMap((s) => Array.from(s.y));
    const options = { x, y: [0, Math.max(...all)], width: 520, height: 240, yText };
    const picture = tools.lines({ series, xLabel: "tokens read", yLabel, label, ...options });
    const axes = tools.axes(options);
    const mark = svg("line", { y1: axes.box.top, y2: axes.box.bottom, "stroke-dasharray": "3 3" });
    mark.style.stroke = "var(--focus)";
    picture.append(mark);
    const move = (step) => ["x1", "x2"].forEach((end) => mark.setAttribute(end, axes.x(Math.max(step, from))));
    return { element: picture, move };
  }
  const index = (wanted) => data.caches.findIndex((one) => one.name === wanted);
  const bytes = chart(
    data.caches.map((one, c) => ({ name: one.name, color: c, x: one.steps.map((_, t) => t), y: one.steps.map((s) => s.bytes) })),
    "bytes of the cache", "Bytes of each cache by tokens read: " +
      data.caches.map((one) => `${one.name} ${tools.bytes(one.steps[T].bytes)} at the end`).join(", "), 0, tools.bytes);
  const costs = Object.entries(data.losses).map(([wanted, loss]) => {
    const y = loss.list();
    return { name: wanted, color: index(wanted), x: y.map((_, t) => t + 2), y };
  });
  const loss = costs.length
    ? chart(costs, "−log Pr of the token just read (nats)", "Loss of each token under each cache: " +
        costs.map((s) => `${s.name} ${tools.number(s.y.reduce((a, b) => a + b) / s.y.length)} on average`).join(", "), 2)
    : null;

  const steps = tools.steps({
    count: T, keys: root, name: "Tokens read",
    label: (step) => {
      if (!step) return "Nothing has been read: all caches are empty.";
      const lost = data.caches.filter((one) => one.steps[step].evicted >= 0)
        .map((one) => `${one.name} forgets “${name(one.steps[step].evicted)}” (${one.steps[step].evicted})`);
      const whose = step <= data.prompt ? "of the prompt" : "that the model said";
      return `Token ${step - 1}, “${name(step - 1)}”, ${whose}, has been read. ${lost.join("; ")}${lost.length ? "." : "Nothing is forgotten."}`;
    },
  }, (step) => {
    for (const row of rows) row.draw(step);
    bytes.move(step);
    if (loss) loss.move(step);
  });

  const { layers, kv_heads: heads, head_width: width } = data.sizes;
  const means = costs.map((s) => [s.name, s.y.reduce((a, b) => a + b, 0) / s.y.length]);
  root.append(
    el("p", { class: "note" }, `A token takes 2 × ${layers} layers × ${heads} key-value heads × ${width} numbers × 4 bytes = ` +
      `${tools.bytes(2 * layers * heads * width * 4)}. A slot shows its token and the token’s number.`),
    steps.element,
    el("div", { class: "columns" }, bytes.element, loss ? loss.element : null),
    means.length ? el("p", { class: "note" }, "Mean loss: ", means.map(([n, m]) => `${n} ${m.toFixed(4)}`).join(", "), " nats.") : null,
    ...rows.map((row) => row.element),
    tools.asTable("Bytes and slots as a table", () => tools.table({
      head: ["tokens read", ...data.caches.flatMap((one) => [`${one.name}: bytes`, "tokens held"])],
      rows: data.caches[0].steps.map((_, t) => [String(t), ...data.caches.flatMap((one) => [one.steps[t].bytes, one.steps[t].slots.length])]) })),
    costs.length ? tools.asTable("Losses as a table", () => tools.table({
      head: ["token", ...costs.map((s) => s.name)],
      rows: costs[0].y.map((_, t) => [`${t + 1} ${name(t + 1)}`, ...costs.map((s) => s.y[t])]), digits: 7 })) : "");
});
