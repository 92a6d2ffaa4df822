// Every objective on one sentence: the words that are read, the words that have to be said, and who
// sees whom. Data: corruptions.py.
"use strict";

tinylm.figure("corruptions", (root, data, tools) => {
  const { el, svg } = tools;
  // What the letters of corruptions.py mean, and how such a word looks: never by color alone.
  const LOOKS = {
    k: ["kept", {}],
    s: ["special token", { color: "var(--muted)", borderStyle: "dotted" }],
    h: ["hidden", { background: "var(--ink)", color: "var(--paper)", borderColor: "var(--ink)" }],
    r: ["replaced by another word", { background: "var(--gradient-soft)", borderColor: "var(--gradient)", textDecoration: "underline wavy" }],
    m: ["moved", { background: "var(--gradient-soft)", borderColor: "var(--gradient)", fontStyle: "italic" }],
    c: ["predicted: the loss counts it", { background: "var(--value-soft)", borderColor: "var(--value)", fontWeight: "600" }],
    i: ["not counted", { color: "var(--muted)", borderColor: "transparent" }],
    n: ["a number", { color: "var(--muted)", borderColor: "transparent" }],
  };
  const CHIP = {
    display: "inline-block", border: "1px solid var(--line)", borderRadius: ".3rem",
    padding: "0 .3rem", fontSize: ".88rem", whiteSpace: "nowrap",
  };
  // Marks of direction and controls are shown by their number: they would turn the line around.
  const plain = (word) => word && tools.tokenText({ text: word });
  const chip = (word, letter) => {
    const said = { h: "hidden", r: "replaced", m: "moved" }[letter];
    return el("span", { style: { ...CHIP, ...LOOKS[letter][1] }, title: LOOKS[letter][0] },
      word === "_" ? "·" : plain(word), said ? el("span", { class: "hidden" }, ` (${said})`) : null);
  };

  // Rows of one length stand word under word; a source and its target have no common columns.
  function words(rows, of) {
    const names = (name) => el("th", { scope: "row", style: { border: "0", whiteSpace: "nowrap", minWidth: "8rem" } }, NAMES[name] || name);
    const cell = (word, letter) => el("td", { class: "text", style: { padding: ".12rem .15rem", border: "0" } }, chip(word, letter));
    return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `${of}: ${rows.map(([name]) => NAMES[name] || name).join(", ")}` },
      el("table", {}, el("tbody", {}, rows.map(([name, row, letters]) =>
        el("tr", {}, names(name), row.map((word, t) => cell(word, letters[t])))))));
  }
  const NAMES = { input: "reads", source: "encoder reads", reads: "decoder reads", target: "has to say", label: "has to say" };

  // One attention pattern: a row is a query, a column a key; a square is seen.
  function pattern([name, index, queries, keys], rows) {
    const cells = data.patterns[index];
    const of = (which) => rows.find((row) => row[0] === which)[1];
    const [down, across] = [of(queries), of(keys)];
    const size = 12;
    const squares = cells.flatMap((row, i) => Array.from(row, (seen, j) => {
      const square = svg("rect", { x: j * size, y: i * size, width: size - 1, height: size - 1 });
      square.style.fill = seen === "1" ? "var(--value)" : "var(--faint)";
      return square;
    }));
    const [width, height] = [cells[0].length * size, cells.length * size];
    const label = `${name}: ` + cells.map((row, i) => `${down[i]} sees ${row.split("1").length - 1} of ${row.length}`).join(", ");
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": label }, squares);
    tools.tip(picture, (event) => {
      const box = picture.getBoundingClientRect();
      const [i, j] = [Math.floor(((event.clientY - box.top) / box.height) * cells.length), Math.floor(((event.clientX - box.left) / box.width) * cells[0].length)];
      if (!cells[i] || cells[i][j] === undefined) return null;
      return `“${down[i]}” (${i}) ${cells[i][j] === "1" ? "sees" : "does not see"} “${across[j]}” (${j})`;
    });
    return el("div", {}, el("p", { class: "label" }, `${name}: ${queries} (rows) see ${keys} (columns)`), picture);
  }

  function card(one) {
    const place = el("div");
    const seen = el("div", { class: "row", style: { alignItems: "start" } });
    const details = el("details", {}, el("summary", {}, "Who sees whom"), seen);
    const draw = (seed) => {
      const { rows, patterns } = one.drawn[seed];
      // The places of a source are not those of what a decoder reads.
      const parts = rows[0][0] === "source" ? [rows.slice(0, 1), rows.slice(1)] : [rows];
      place.replaceChildren(...parts.map((part) => words(part, one.name)));
      seen.replaceChildren(...(details.open ? patterns.map((p) => pattern(p, rows)) : []));
    };
    details.addEventListener("toggle", () => draw(now));
    redraws.push(draw);
    return el("article", { "data-name": one.name },
      el("h3", {}, one.name, el("span", { class: "label" }, `  trains ${one.trains.join(", ")}`)),
      el("p", { class: "note" }, `${one.about[0].toUpperCase()}${one.about.slice(1)}. ${/^\d/.test(one.section) ? `Book section ${one.section}` : one.section}`,
        "; ", el("code", {}, one.file), "."),
      place, details);
  }

  const redraws = [];
  let now = 0;
  const show = (seed) => {
    now = seed;
    for (const draw of redraws) draw(seed);
  };
  const seed = tools.slider({ label: "Seed", min: 0, max: data.seeds - 1, step: 1, value: 0 }, show);
  const families = data.families.map((family) => {
    const of = data.objectives.filter((one) => one.family === family);
    return el("section", { "data-family": family, "aria-label": family }, el("h3", {}, `Family: ${family}`), of.map(card));
  });
  const family = tools.choice({ label: "Family", value: data.families[0], options: data.families.map((f) => [f, f]) }, (chosen) => {
    for (const section of families) section.hidden = section.dataset.family !== chosen;
  });
  families.forEach((section, f) => (section.hidden = f > 0));
  const legend = el("p", { class: "note", style: { lineHeight: "1.9", maxWidth: "none" } }, "Legend: ", ["k", "h", "r", "m", "s", "c"].map((letter) => [el("span", { style: { ...CHIP, ...LOOKS[letter][1] } }, LOOKS[letter][0]), " "]));
  root.append(
    el("p", {}, "The text: ", el("q", {}, el("bdi", { dir: "auto" }, data.text.split(" ").map(plain).join(" "))), data.cut ? " (its first words)" : ""),
    el("div", { class: "row" }, family.element, seed.element), legend, ...families);
  show(0);
});
