// Pictures of numbers that several figures share: axes, lines, bars, and grids of pixels.
"use strict";

(() => {
  const tools = tinylm.tools;
  const { el, svg } = tools;

  const multiples = (low, high, step) => {
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
    return found;
  };

  // About `count` round numbers from low to high: multiples of 1, 2 or 5 times a power of ten. They
  // are no fewer than three unless count is: one number alone does not say how far a curve goes.
  tools.ticks = (low, high, count = 5) => {
    if (!(high > low)) return [low];
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const steps = [10, 5, 2, 1, 0.5, 0.2].map((m) => m * power);
    const first = steps.findLastIndex((s) => s >= rough);
    for (const step of steps.slice(first)) {
      const found = multiples(low, high, step);
      if (found.length >= Math.min(3, count)) return found;
    }
    return multiples(low, high, steps.at(-1));
  };

  // Round numbers on an axis of logarithms: powers of ten and, where these are few, 2 and 5 times
  // them; within less than a decade the same as elsewhere.
  tools.logTicks = (low, high, count = 5) => {
    if (!(high > low)) return [low];
    const decades = multiples(Math.log10(low), Math.log10(high), 1).map((p) => 10 ** Math.round(p));
    if (decades.length > count) {
      const each = Math.ceil(decades.length / count);
      return decades.filter((_, i) => i % each === 0);
    }
    const from = Math.floor(Math.log10(low));
    const found = [];
    for (let p = from; p <= Math.log10(high); p++) found.push(...[1, 2, 5].map((m) => m * 10 ** p));
    const inside = found.filter((v) => v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9));
    if (inside.length < 2) return tools.ticks(low, high, count);
    return inside.length > 2 * count && decades.length > 1 ? decades : inside;
  };

  const DIGIT = 7.7; // pixels that a digit of a label is wide at most

  // An empty picture with axes: { x: [low, high], y: [low, high], xLabel, yLabel, width, height,
  // log: { x, y }, whole (ticks of x at integers alone), yText (a number on the y axis as text),
  // label (what a screen reader says) }. It is no wider than the page, so that words keep their size.
  // Returns { element, plot (a <g> to draw in), x(value), y(value), box }.
  tools.axes = ({ x, y, xLabel = "", yLabel = "", width = 640, height = 260, log = {}, whole = false, yText = null, label = "" }) => {
    width = Math.min(width, document.querySelector(".stage")?.clientWidth || width);
    const at = (range, isLog, count) =>
      (isLog ? tools.logTicks : tools.ticks)(range[0], range[1], count);
    const rows = at(y, log.y, 4).map((v) => ({ v, text: yText ? yText(v) : tools.number(v, 3) }));
    // The longest number has room on the left.
    const left = Math.max(56, 12 + DIGIT * Math.max(...rows.map(({ text }) => text.length)));
    const box = { left, right: width - 14, top: 24, bottom: height - 40 };
    const scale = (range, from, to, isLog) => {
      const f = isLog ? Math.log10 : (v) => v;
      const [low, high] = [f(range[0]), f(range[1])];
      return (v) => from + ((f(v) - low) / (high - low || 1)) * (to - from);
    };
    const px = scale(x, box.left, box.right, log.x);
    const py = scale(y, box.bottom, box.top, log.y);
    const grid = svg("g", { class: "grid" });
    const words = svg("g", { class: "axis" });
    for (const v of at(x, log.x, Math.max(2, Math.round(width / 110)))) {
      if (whole && !Number.isInteger(v)) continue;
      const text = tools.number(v, 3);
      const middle = Math.min(px(v), width - (DIGIT * text.length) / 2); // the last one stays inside
      words.append(svg("text", { class: "quiet", x: middle, y: box.bottom + 16, "text-anchor": "middle" }, text));
    }
    for (const { v, text } of rows) {
      grid.append(svg("line", { x1: box.left, x2: box.right, y1: py(v), y2: py(v) }));
      words.append(svg("text", { class: "quiet", x: box.left - 8, y: py(v) + 4, "text-anchor": "end" }, text));
    }
    words.append(
      svg("line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }),
      svg("text", { class: "quiet", x: (box.left + box.right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel),
      svg("text", { class: "quiet", x: 0, y: 12 }, yLabel),
    );
    const plot = svg("g", {});
    const element = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": label }, grid, words, plot);
    return { element, plot, x: px, y: py, box };
  };

  // Move names that would overlap apart, within top and bottom: each { y } gets its new y, and
  // shown, which is false for some where more are wanted than there is room for; the first and the
  // last stay. The order from top to bottom is kept, and no name moves further than it must.
  const GAP = 15; // pixels from one line of text to the next
  tools.apart = (names, top, bottom) => {
    names.sort((a, b) => a.y - b.y);
    const room = Math.max(Math.floor((bottom - top) / GAP) + 1, 1);
    const every = Math.max((names.length - 1) / Math.max(room - 1, 1), 1);
    const kept = new Set(Array.from({ length: Math.min(room, names.length) }, (_, k) => Math.round(k * every)));
    names.forEach((name, i) => (name.shown = kept.has(i)));
    const shown = names.filter((name) => name.shown);
    shown.forEach((name, i) => (name.y = Math.max(name.y, i ? shown[i - 1].y + GAP : top)));
    let limit = bottom;
    for (const name of shown.reverse()) limit = (name.y = Math.min(name.y, limit)) - GAP;
  };

  // Lines over shared axes: { series: [{ name, x: [...], y: [...], color (index), dash }], ... as
  // axes() }. A value that is no number leaves a gap. Each line has its name at its end.
  tools.lines = ({ series, x = null, y = null, ...rest }) => {
    const finite = (key) => series.flatMap((s) => Array.from(s[key])).filter(Number.isFinite);
    const range = (values) => {
      if (!values.length) return [0, 1];
      const low = values.reduce((a, b) => Math.min(a, b));
      const high = values.reduce((a, b) => Math.max(a, b));
      return low === high ? [low - 0.5, high + 0.5] : [low, high];
    };
    const axes = tools.axes({ x: x ?? range(finite("x")), y: y ?? range(finite("y")), ...rest });
    const ends = [];
    series.forEach((s, index) => {
      const color = s.color ?? index;
      let path = "";
      let pen = "M";
      let last = null;
      Array.from(s.x).forEach((value, i) => {
        if (!Number.isFinite(s.y[i])) return void (pen = "M");
        path += `${pen}${axes.x(value).toFixed(1)} ${axes.y(s.y[i]).toFixed(1)}`;
        last = [axes.x(value), axes.y(s.y[i])];
        pen = "L";
      });
      const line = svg("path", { class: "mark", d: path, "stroke-dasharray": s.dash ?? tools.dashes(color) });
      const paint = () => (line.style.stroke = tools.series(color));
      paint(), tools.onTheme(paint);
      axes.plot.append(line);
      if (last && s.name) ends.push({ name: s.name, color, x: last[0], y: last[1] });
    });
    tools.apart(ends, axes.box.top + 5, axes.box.bottom + 1);
    ends.filter((end) => end.shown).forEach((end) => {
      // Of a line that ends on the left, the name stands behind its end, else before it.
      const early = end.x < (axes.box.left + axes.box.right) / 2;
      const x = early ? end.x + 6 : Math.min(end.x, axes.box.right) - 4;
      const text = svg("text", { class: "name", x, y: end.y - 5, "text-anchor": early ? "start" : "end" }, end.name);
      const paint = () => (text.style.fill = tools.series(end.color));
      paint(), tools.onTheme(paint);
      axes.plot.append(text);
    });
    return axes.element;
  };

  // One bar of a list: { label (text or element), share (0..1 of the track), text, ghost (a share
  // that is marked for comparison), out (greyed) }.
  tools.bar = ({ label, share, text, ghost = null, out = false, color = null }) => {
    const wide = (s) => `${Math.min(Math.max(s, 0), 1) * 100}%`;
    const fill = el("div", { class: "fill", style: { width: wide(share), background: color } });
    const mark = ghost === null ? null : el("div", { class: "ghost", style: { width: wide(ghost) } });
    return el("div", { class: out ? "bar out" : "bar", role: "listitem" },
      el("span", {}, label), el("div", { class: "track" }, fill, mark), el("span", { class: "number" }, text));
  };

  // A grid of pixels: { rows, columns, rgb(i, j), size (of a cell in CSS pixels), label }. Each cell
  // is one pixel of the canvas, drawn large by CSS. Returns the canvas with .repaint(), and .cell(
  // event), which gives [i, j] under the pointer.
  tools.pixels = ({ rows, columns, rgb, size, label }) => {
    const canvas = el("canvas", { width: columns, height: rows, role: "img", "aria-label": label,
      style: { width: `${columns * size}px`, height: `${rows * size}px`, imageRendering: "pixelated" } });
    canvas.repaint = () => {
      const context = canvas.getContext("2d");
      const image = context.createImageData(columns, rows);
      for (let i = 0, k = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++, k += 4) {
          const [r, g, b] = rgb(i, j);
          image.data[k] = r, image.data[k + 1] = g, image.data[k + 2] = b, image.data[k + 3] = 255;
        }
      }
      context.putImageData(image, 0, 0);
    };
    canvas.cell = (event) => {
      const box = canvas.getBoundingClientRect();
      const i = Math.floor(((event.clientY - box.top) / box.height) * rows);
      const j = Math.floor(((event.clientX - box.left) / box.width) * columns);
      return i >= 0 && j >= 0 && i < rows && j < columns ? [i, j] : null;
    };
    canvas.repaint();
    tools.onTheme(canvas.repaint);
    return canvas;
  };
})();
