// Pipelines under one time axis: a row is a stage, a box a pass of a micro-batch. Data: timelines.py.
"use strict";

tinylm.figure("pipeline", (root, data, tools) => {
  const { el, svg, number, percent } = tools;
  const { stages, plans } = data;
  const [UNIT, HIGH, LEFT] = [30, 22, 78]; // pixels of a unit of time, of a stage, of the labels
  // By kind: forward is blue, backward orange, weights white with a frame. Each box has its letter.
  const LOOKS = {
    F: ["var(--value-soft)", "var(--value)"],
    B: ["var(--gradient-soft)", "var(--gradient)"],
    W: ["var(--raised)", "var(--muted)"],
  };
  const NAMES = { F: "forward", B: "backward", W: "weights" };
  const pass = ([, kind, micro, chunk]) => `${kind}${micro}${chunk ? String.fromCharCode(97 + chunk) : ""}`;
  // One after another takes so long that its end is cut off: it repeats itself.
  const longest = plans.map((plan) => plan.time).sort((a, b) => a - b)[plans.length - 2];
  const width = LEFT + UNIT * longest + 12;

  function timeline(plan) {
    const cursor = svg("line", { y1: 2, y2: stages * HIGH + 4, "stroke-width": 2 });
    cursor.style.stroke = "var(--focus)";
    const boxes = plan.passes.filter((one) => one[4] < longest).map((one) => {
      const [stage, kind, , , start, stop] = one;
      const wide = UNIT * (Math.min(stop, longest) - start);
      const [x, y] = [LEFT + UNIT * start, HIGH * (stages - 1 - stage)];
      const [fill, stroke] = LOOKS[kind];
      const box = svg("rect", { x: x + 0.5, y: y + 2, width: wide - 1, height: HIGH - 4, rx: 2 });
      Object.assign(box.style, { fill, stroke });
      const group = svg("g", {}, box);
      if (wide > 20) group.append(svg("text", { x: x + wide / 2, y: y + HIGH / 2 + 4, "text-anchor": "middle", "font-size": 10 }, pass(one)));
      tools.tip(group, () => `${pass(one)}: ${NAMES[kind]} pass of micro-batch ${one[2]}, stage ${stage}\nfrom ${number(start)} to ${number(stop)}`);
      return { group, one };
    });
    const names = Array.from({ length: stages }, (_, s) =>
      svg("text", { class: "quiet", x: 0, y: HIGH * (stages - 1 - s) + HIGH / 2 + 4 }, `stage ${s}`));
    const bottom = stages * HIGH + 4;
    const ticks = tools.ticks(0, longest, 12).map((t) =>
      svg("text", { class: "quiet", x: LEFT + UNIT * t, y: bottom + 12, "text-anchor": "middle", "font-size": 10 }, String(t)));
    const picture = svg("svg", { viewBox: `0 0 ${width} ${bottom + 16}`, width, role: "img", style: { maxWidth: "none" },
      "aria-label": `${plan.name}: ${number(plan.time)} units of time, ${percent(plan.bubble)} of it waiting` },
      names, boxes.map(({ group }) => group), ticks, cursor,
      svg("text", { class: "quiet", x: 0, y: bottom + 12, "font-size": 10 }, "time (units)"));
    const draw = (t) => {
      const x = LEFT + UNIT * Math.min(t, longest);
      cursor.setAttribute("x1", x), cursor.setAttribute("x2", x);
      // What has not begun yet is pale.
      for (const { group, one } of boxes) group.style.opacity = one[4] < t ? 1 : 0.22;
    };
    const facts = `${number(plan.time)} units of time, ${percent(plan.bubble)} of all stages’ time is waiting; ` +
      `stages 0 to ${stages - 1} keep at most ${plan.kept.join(", ")} passes.` +
      (plan.time > longest ? ` The first ${number(longest)} units are drawn; it goes on so.` : "");
    const element = el("article", { "data-name": plan.name },
      el("h3", {}, plan.name), el("p", { class: "note" }, `${plan.about} ${facts}`),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `timeline of ${plan.name}` }, picture));
    return { element, draw };
  }

  const lines = plans.map(timeline);
  const busy = (plan, t) => plan.passes.filter((one) => one[4] < t && one[5] >= t).length;
  const count = Math.ceil(longest);
  const steps = tools.steps({
    count, keys: root, name: "Time",
    label: (t) => (t
      ? `Unit ${t} of time. Stages at work: ${plans.map((plan) => `${plan.name} ${busy(plan, t)}`).join(", ")} of ${stages}.`
      : "Nothing has begun."),
  }, (t) => lines.forEach((line) => line.draw(t)));

  root.append(
    el("p", { class: "note" }, "Time of a stage for a micro-batch: forward 1 unit, backward 2 (1 for the input’s cotangent and 1 " +
      "for the weights, where they are apart). Messages take no time."),
    steps.element, ...lines.map((line) => line.element),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "all schedules" }, tools.table({
      caption: "All schedules",
      head: ["schedule", "time", "waiting, share of all", "longest wait within a stage", "most passes kept"],
      rows: plans.map((plan) => [plan.name, plan.time, plan.bubble, Math.max(...plan.stalled), Math.max(...plan.kept)]), digits: 7 })),
    tools.asTable("Every pass as a table", () => tools.table({
      head: ["schedule", "stage", "pass", "from", "to"],
      rows: plans.flatMap((plan) => plan.passes.map((one) => [plan.name, one[0], pass(one), one[4], one[5]])) })));
});
