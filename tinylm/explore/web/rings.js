// An all-reduce message by message: ranks around a circle, each with its pieces. The digits of a
// number say which ranks are in it. Data: timelines.py.
"use strict";

tinylm.figure("rings", (root, data, tools) => {
  const { el, svg, number } = tools;
  const { ranks, routes } = data;
  const place = el("div");
  const digits = (x) => String(Math.round(x)).padStart(ranks, "0");
  const inside = (x) => digits(x).split("").filter((d) => d === "1").length;
  const [WIDTH, HIGH, CELL] = [560, 400, 40];
  // Rank 0 at the top, then clockwise.
  const at = Array.from({ length: ranks }, (_, r) => {
    const angle = (2 * Math.PI * r) / ranks - Math.PI / 2;
    return { x: WIDTH / 2 + 190 * Math.cos(angle), y: HIGH / 2 + 150 * Math.sin(angle) };
  });

  function rank(r, array, came) {
    const left = at[r].x - (CELL * array.length) / 2;
    const cells = Array.from(array, (value, piece) => {
      const share = inside(value) / ranks;
      const rgb = tools.sequentialRGB(share * 0.8);
      const box = svg("rect", { x: left + CELL * piece, y: at[r].y - 14, width: CELL - 2, height: 28, rx: 3,
        "stroke-width": came.has(piece) ? 2.5 : 1 });
      Object.assign(box.style, { fill: `rgb(${rgb.join(" ")})`, stroke: came.has(piece) ? "var(--gradient)" : "var(--line)" });
      const text = svg("text", { x: left + CELL * (piece + 0.5) - 1, y: at[r].y + 4, "text-anchor": "middle", "font-size": 11 }, digits(value));
      text.style.fill = tools.inkOn(rgb);
      return svg("g", {}, box, text);
    });
    return svg("g", {}, svg("text", { class: "title", x: at[r].x, y: at[r].y - 22, "text-anchor": "middle" }, `rank ${r}`), cells);
  }

  // A message as an arrow beside the line between two ranks, so that two of opposite ways part.
  function arrow([from, to, start, stop]) {
    const [dx, dy] = [at[to].x - at[from].x, at[to].y - at[from].y];
    const long = Math.hypot(dx, dy);
    const [ux, uy] = [dx / long, dy / long];
    const [ox, oy] = [-uy * 9, ux * 9];
    const [x1, y1] = [at[from].x + ux * 62 + ox, at[from].y + uy * 48 + oy];
    const [x2, y2] = [at[to].x - ux * 62 + ox, at[to].y - uy * 48 + oy];
    const line = svg("path", { fill: "none", "stroke-width": 2,
      d: `M${x1} ${y1}L${x2} ${y2}M${x2 - ux * 9 - uy * 5} ${y2 - uy * 9 + ux * 5}L${x2} ${y2}L${x2 - ux * 9 + uy * 5} ${y2 - uy * 9 - ux * 5}` });
    line.style.stroke = "var(--gradient)";
    const pieces = stop - start === ranks ? "all" : stop - start > 1 ? `${start}–${stop - 1}` : `piece ${start}`;
    return svg("g", {}, line, svg("text", { x: (x1 + x2) / 2 + ox, y: (y1 + y2) / 2 + oy + 4,
      "text-anchor": Math.abs(ox) < 3 ? "middle" : ox > 0 ? "start" : "end" }, pieces));
  }

  function drawn(route) {
    const frames = route.frames;
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HIGH}`, width: WIDTH, role: "img" });
    const said = (frame) => frame.messages.map((m) => `${m[0]} to ${m[1]}`).join(", ");
    const steps = tools.steps({
      count: frames.length - 1, keys: place, name: "Step of the all-reduce",
      label: (step) => {
        const frame = frames[step];
        if (!step) return "Every rank has its own array.";
        const done = frame.arrays.list().every((row) => row.every((x) => inside(x) === ranks));
        return `At time ${number(frame.time)}: ${said(frame)}, ${tools.bytes(frame.messages[0][4])} each.${done ? " All ranks have the sum." : ""}`;
      },
    }, (step) => {
      const frame = frames[step];
      const paint = () => {
        const came = (r) => new Set(frame.messages.filter((m) => m[1] === r)
          .flatMap((m) => Array.from({ length: m[3] - m[2] }, (_, k) => m[2] + k)));
        picture.replaceChildren(...frame.messages.map(arrow), ...at.map((_, r) => rank(r, frame.arrays.row(r).data, came(r))));
        picture.setAttribute("aria-label", `Time ${number(frame.time)}: ` +
          at.map((_, r) => `rank ${r} holds ${Array.from(frame.arrays.row(r).data, digits).join(" ")}`).join("; "));
      };
      now = paint;
      paint();
    });
    place.replaceChildren(
      el("p", {}, `${route.about} Done at time ${number(route.time)}; the busiest rank sends ${tools.bytes(route.busiest)}. `, el("code", {}, route.file)),
      steps.element, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "ranks" }, picture),
      tools.asTable("Arrays and messages as a table", () => tools.table({
        head: ["time", "messages", ...at.map((_, r) => `rank ${r}`)],
        rows: frames.map((frame) => [String(frame.time), said(frame) || "none", ...frame.arrays.list().map((row) => row.map(digits).join(" "))]) })));
  }

  let now = () => {};
  tools.onTheme(() => now());
  const choice = tools.choice({ label: "Way", value: 0, options: routes.map((route, i) => [i, route.name]) }, (i) => drawn(routes[i]));
  root.append(choice.element, place,
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "all ways" }, tools.table({ caption: "All ways, for links that take 1 for any message and 1 more for a whole array",
      head: ["way", "time", "steps", "bytes of the busiest rank"],
      rows: routes.map((route) => [route.name, route.time, route.frames.length - 1, route.busiest]) })));
  drawn(routes[0]);
});
