// Curves of runs: one color a run in every panel, solid where it is training and dashed where it is
// held-out text. One slider reads all panels at a step. Data: runs.py and rewards.py.
"use strict";

tinylm.figure("runs", (root, data, tools) => {
  const { el, svg, number } = tools;
  const several = data.runs.length > 1;
  const last = Math.max(...data.panels.flatMap((panel) => panel.lines.map((line) => line.x.at(line.x.length - 1))));
  const readers = []; // called with a step
  const nameOf = (line) => (several ? `${data.runs[line.run].name} ${line.kind === "held-out" ? "held-out" : ""}` : line.kind).trim();

  // The place in a line of the last point at a step or before it; -1 if it begins later.
  const placeAt = (line, step) => {
    let place = -1;
    for (let i = 0; i < line.x.length && line.x.at(i) <= step; i++) place = i;
    return place;
  };

  function panel(one) {
    const values = one.lines.flatMap((line) => Array.from(line.y.data)).filter(Number.isFinite);
    const log = one.log && Math.min(...values) > 0;
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const options = { x: [0, Math.max(last, 1)], y: low < high ? [low, high] : [low - 0.5, high + 0.5],
      log: { x: false, y: log }, whole: true, width: 500, height: 250 };
    const picture = tools.lines({
      series: one.lines.map((line) => ({
        name: nameOf(line), color: line.run, dash: line.kind === "held-out" ? "5 3" : "none", x: line.x.data, y: line.y.data })),
      xLabel: "step", yLabel: one.unit, ...options,
      label: `${one.title}: ` + one.lines.map((line) =>
        `${nameOf(line)} from ${number(line.y.at(0))} to ${number(line.y.at(line.y.length - 1))}`).join("; "),
    });
    const axes = tools.axes(options);
    const mark = svg("line", { y1: axes.box.top, y2: axes.box.bottom, "stroke-dasharray": "3 3" });
    mark.style.stroke = "var(--focus)";
    // A line of few points has no length: its points are drawn too.
    const dots = one.lines.filter((line) => line.x.length < 12).flatMap((line) => Array.from(line.x.data, (x, i) => {
      if (!Number.isFinite(line.y.at(i))) return "";
      const dot = svg("circle", { cx: axes.x(x), cy: axes.y(line.y.at(i)), r: 3 });
      const paint = () => (dot.style.fill = tools.series(line.run));
      paint(), tools.onTheme(paint);
      return dot;
    }));
    picture.append(...dots, mark);
    const said = el("p", { class: "note number" });
    readers.push((step) => {
      for (const end of ["x1", "x2"]) mark.setAttribute(end, axes.x(step));
      said.textContent = one.lines.map((line) => {
        const place = placeAt(line, step);
        return place < 0 ? `${nameOf(line)}: later` : `${nameOf(line)}: ${number(line.y.at(place))} at ${line.x.at(place)}`;
      }).join("; ");
    });
    const rows = one.lines.flatMap((line) => Array.from(line.x.data, (x, i) => [nameOf(line), x, line.y.at(i)]));
    return el("article", { "data-key": one.key }, el("h3", {}, one.title), picture, said,
      tools.asTable(`Numbers of ${one.title.toLowerCase()}`, () =>
        tools.table({ head: ["curve", "step", one.unit], rows, digits: 7 })));
  }

  // What the checkpoints say, one run under the other.
  function said() {
    const speaking = data.runs.filter((run) => run.samples.length);
    if (!speaking.length) return [];
    const steps = [...new Set(speaking.flatMap((run) => run.samples.map((one) => one.step)))].sort((a, b) => a - b);
    const place = el("div");
    const control = tools.steps({
      count: steps.length - 1, keys: place, name: "Checkpoint",
      label: (i) => `The checkpoint of step ${steps[i]}, ${i + 1} of ${steps.length}.`,
    }, (i) => texts.replaceChildren(...speaking.map((run) => {
      const one = run.samples.filter((sample) => sample.step <= steps[i]).at(-1);
      return el("div", { "data-run": run.name },
        several ? el("p", { class: "label" }, `${run.name}${one ? `, step ${one.step}` : ""}`) : null,
        one ? el("p", { dir: "auto", style: { maxWidth: "none", whiteSpace: "pre-wrap", overflowWrap: "anywhere" } },
          el("span", { class: "label" }, one.prompt), one.text)
          : el("p", { class: "note" }, "no checkpoint so early"));
    })));
    const texts = el("div", { style: { minHeight: "6rem" } });
    const heading = `What ${several ? "they say" : "it says"} after the prompt, at temperature ${data.temperature}`;
    // With one checkpoint there is nothing to choose.
    place.append(el("h3", {}, heading), steps.length > 1 ? control.element : el("p", { class: "note" }, `Step ${steps[0]}.`), texts);
    return [place];
  }

  const facts = data.runs.map((run) => [run.name, run.objective ?? "", run.parameters ?? ""]);
  const slider = tools.slider({ label: "Read all panels at step", min: 0, max: last, step: 1, value: last },
    (step) => readers.forEach((read) => read(step)));
  root.append(
    several ? tools.table({ head: ["run", "objective", "parameters"], rows: facts }) : "",
    el("div", { class: "row" }, slider.element),
    el("div", { class: "columns", style: { gridTemplateColumns: "repeat(auto-fit, minmax(min(100%, 27rem), 1fr))" } }, data.panels.map(panel)),
    ...said());
  readers.forEach((read) => read(last));
});
