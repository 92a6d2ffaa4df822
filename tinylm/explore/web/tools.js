// What every figure is built of: elements, numbers, colors, tokens, controls, tooltips, tables.
"use strict";

(() => {
  const tools = tinylm.tools;

  // ---- Elements --------------------------------------------------------------------------

  // el("p", { class: "note", onclick: f }, "text", otherElement): attributes that begin with "on"
  // are listeners, null and false are left out, and `style` is an object, since the page's policy
  // forbids style attributes but not this.
  function filled(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "style") Object.assign(element.style, value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return element;
  }
  tools.el = (name, attributes, ...children) =>
    filled(document.createElement(name), attributes, children);
  tools.svg = (name, attributes, ...children) =>
    filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
  // fill(root, ...): what stands in an element from now on; lists are laid flat, null is left out.
  tools.fill = (root, ...children) => filled((root.replaceChildren(), root), {}, children);
  const { el } = tools;

  // ---- Numbers ---------------------------------------------------------------------------

  // A number with `digits` significant digits: "0.1235", "−1.2e−7", "nan", "∞".
  tools.number = (x, digits = 4) => {
    if (typeof x !== "number") return String(x);
    if (Number.isNaN(x)) return "nan";
    if (!Number.isFinite(x)) return x > 0 ? "inf" : "−inf";
    if (x === 0) return "0";
    if (Number.isInteger(x) && Math.abs(x) < 1e7) return String(x).replace("-", "−");
    const size = Math.abs(x);
    const text =
      size >= 1e5 || size < 1e-4 ? x.toExponential(digits - 1) : Number(x.toPrecision(digits)).toString();
    return text.replaceAll("-", "−");
  };
  // A probability: "37.2 %", "0.004 %", "<0.001 %".
  tools.percent = (p) => {
    if (!Number.isFinite(p)) return tools.number(p);
    const hundred = p * 100;
    if (hundred > 0 && hundred < 0.001) return "<0.001 %";
    return `${Number(hundred.toPrecision(hundred >= 99.95 ? 4 : 3))} %`;
  };
  // Bytes as 12.3 KB, of 1000 bytes each.
  tools.bytes = (n) => {
    const units = ["B", "KB", "MB", "GB", "TB"];
    let unit = 0;
    while (n >= 1000 && unit < units.length - 1) (n /= 1000), unit++;
    return `${Number(n.toPrecision(3))} ${units[unit]}`;
  };

  // ---- Colors ----------------------------------------------------------------------------

  // Read once: a picture asks for its colors a million times.
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  let dark = scheme.matches;
  scheme.addEventListener("change", () => (dark = scheme.matches));
  const theme = () => (dark ? "dark" : "light");
  // From paper to a deep blue (by dark, to a pale one), even in lightness: so it reads in grey too.
  const SEQUENTIAL = {
    light: [[252, 251, 248], [206, 224, 242], [130, 177, 220], [52, 116, 182], [10, 48, 104]],
    dark: [[27, 31, 37], [33, 62, 98], [52, 104, 162], [108, 164, 222], [205, 228, 255]],
  };
  // Negative is orange and positive blue; orange stays lighter (by dark, darker) than blue of the
  // same size, so that the signs differ in grey.
  const NEGATIVE = {
    light: [[252, 251, 248], [253, 226, 205], [246, 188, 146], [228, 142, 84], [196, 98, 34]],
    dark: [[27, 31, 37], [64, 40, 24], [108, 62, 30], [156, 90, 44], [206, 126, 70]],
  };

  const SHADES = 512; // of a scale: more than the eye tells apart
  function scaleOf(stops) {
    return Array.from({ length: SHADES + 1 }, (_, k) => {
      const place = (k / SHADES) * (stops.length - 1);
      const first = Math.min(Math.floor(place), stops.length - 2);
      return stops[first].map((c, i) => Math.round(c + (stops[first + 1][i] - c) * (place - first)));
    });
  }
  for (const scale of [SEQUENTIAL, NEGATIVE]) {
    for (const name of ["light", "dark"]) scale[name] = scaleOf(scale[name]);
  }
  const shadeOf = (scale, t) => scale[theme()][Math.round(Math.min(Math.max(t, 0), 1) * SHADES)];
  // What is no number is a flat grey, which no scale holds; what a mask hides is nearly paper.
  const NOWHERE = { light: [168, 168, 166], dark: [110, 112, 116] };
  const MASKED = { light: [236, 234, 228], dark: [36, 40, 46] };
  tools.maskedRGB = () => MASKED[theme()];
  const css = (rgb) => `rgb(${rgb.join(" ")})`;
  // Channels of t in 0..1, and of t in -1..1; for pixels of a canvas.
  tools.sequentialRGB = (t) => (Number.isNaN(t) ? NOWHERE[theme()] : shadeOf(SEQUENTIAL, t));
  tools.divergingRGB = (t) =>
    Number.isNaN(t) ? NOWHERE[theme()] : shadeOf(t < 0 ? NEGATIVE : SEQUENTIAL, Math.abs(t));
  tools.sequential = (t) => css(tools.sequentialRGB(t));
  tools.diverging = (t) => css(tools.divergingRGB(t));
  // Black or white, whichever reads better on a color of the scales.
  tools.inkOn = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#000" : "#fff";
  };
  // Series: told apart by hue and by lightness; the same index is the same color in every panel.
  const SERIES = {
    light: ["#1f5fa8", "#c2560c", "#25703d", "#7a3fb0", "#8a6d00", "#b02a5b", "#0d7480", "#444b55"],
    dark: ["#82b6f2", "#f2a473", "#7fcf97", "#c79bf2", "#e0c34c", "#f28bb0", "#6fd0dc", "#c0c6cf"],
  };
  tools.series = (index) => SERIES[theme()][index % 8];
  tools.dashes = (index) => ["none", "6 3", "2 3", "8 3 2 3"][Math.floor(index / 2) % 4];

  // ---- Tokens ----------------------------------------------------------------------------

  const SIGNS = { " ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍" };
  // Controls, marks of direction and what has no width of its own are shown by their number.
  const UNSEEN = /[\u0000-\u001f\u007f-\u00a0\u00ad\u061c\u200b-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff\ud800-\udfff]/u;

  // At most `most` characters of a text, the last of them an ellipsis where it is longer.
  tools.short = (text, most) => {
    const all = Array.from(text); // by characters: a pair of surrogates stays whole
    return all.length <= most ? text : `${all.slice(0, most - 1).join("")}…`;
  };

  // A token as plain text, for labels and tooltips.
  tools.tokenText = (token) => {
    if (token.bytes !== undefined) return `⟨${token.bytes}⟩`;
    const shown = Array.from(token.text, (c) => {
      if (SIGNS[c]) return SIGNS[c];
      return UNSEEN.test(c) ? `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}` : c;
    });
    return shown.join("") || "∅";
  };
  // A token as an element: isolated, so that right-to-left text leaves its neighbors in order.
  tools.token = (token) => {
    const box = el("bdi", { class: "token", dir: "auto" });
    if (token.bytes !== undefined || token.special) {
      box.append(el("span", { class: token.special ? "special" : "bytes" }, tools.tokenText(token)));
      return box;
    }
    let plain = "";
    for (const c of token.text) {
      if (!SIGNS[c] && !UNSEEN.test(c)) {
        plain += c;
        continue;
      }
      box.append(plain, el("span", { class: "sign" }, tools.tokenText({ text: c })));
      plain = "";
    }
    box.append(token.text ? plain : el("span", { class: "sign" }, "∅"));
    return box;
  };

  // ---- Tooltips --------------------------------------------------------------------------

  let tip = null;
  const hide = () => tip && (tip.hidden = true);
  function show(text, x, y) {
    if (!tip) document.body.append((tip = el("div", { id: "tip", role: "status" })));
    tip.textContent = text;
    tip.hidden = false;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(x + 14, room)) + scrollX}px`;
    tip.style.top = `${y + 18 + scrollY}px`;
  }
  // What `text(event)` returns is shown while the pointer is over the element, or it has the focus;
  // null shows nothing. The same text must be reachable without it, as a label or in a table.
  tools.tip = (element, text) => {
    const at = (event) => {
      const found = text(event);
      if (found === null || found === undefined) hide();
      else show(found, event.clientX, event.clientY);
    };
    element.addEventListener("pointermove", at);
    element.addEventListener("pointerleave", hide);
    element.addEventListener("focus", (event) => {
      const box = element.getBoundingClientRect();
      const found = element.matches(":focus-visible") ? text(event) : null;
      if (found) show(found, box.left, box.bottom - 12);
    });
    element.addEventListener("blur", hide);
    return element;
  };
  addEventListener("keydown", (event) => event.key === "Escape" && hide());

  // ---- Controls --------------------------------------------------------------------------

  let counted = 0;
  const fresh = (name) => `${name}-${++counted}`;

  // A slider: { label, min, max, step, value, format }. `log` makes equal steps equal ratios.
  // onInput(value) is called on every change. Returns { element, value(), set(value) }.
  tools.slider = ({ label, min, max, step, value, format = tools.number, log = false }, onInput) => {
    const forth = log ? Math.log : (x) => x;
    const back = log ? Math.exp : (x) => x;
    const [out, id] = [el("output"), fresh("slider")];
    out.htmlFor = id;
    const input = el("input", {
      type: "range", id, min: forth(min), max: forth(max), step: log ? "any" : step, value: forth(value),
    });
    const now = () => Number(back(Number(input.value)).toPrecision(6));
    const told = () => {
      out.textContent = format(now());
      input.setAttribute("aria-valuetext", out.textContent);
    };
    input.addEventListener("input", () => (told(), onInput(now())));
    if (log) {
      // An arrow key moves by 5 %: "any" alone would take a hundredth of the range.
      input.addEventListener("keydown", (event) => {
        const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
        if (!way) return;
        event.preventDefault();
        input.value = Number(input.value) + way * Math.log(1.05);
        told(), onInput(now());
      });
    }
    told();
    const element = el("div", { class: "control" }, el("span", {}, el("label", { for: id }, label), out), input);
    return { element, value: now, set: (x) => ((input.value = forth(x)), told()) };
  };

  // One of several: { label, options: [[value, text], ...], value }. Radio buttons look like a row
  // of pills; more than eight become a list to choose from. Returns { element, value(), set(value) }.
  tools.choice = ({ label, options, value }, onChange) => {
    if (options.length > 8) {
      const list = el("select", {}, options.map(([v, text]) => el("option", { value: v }, text)));
      list.value = value;
      const known = new Map(options.map(([v]) => [String(v), v]));
      list.addEventListener("change", () => onChange(known.get(list.value)));
      const element = el("label", { class: "control" }, el("span", {}, label), list);
      return { element, value: () => known.get(list.value), set: (v) => (list.value = v) };
    }
    const name = fresh("choice");
    const boxes = options.map(([v]) => el("input", { type: "radio", name, checked: v === value }));
    boxes.forEach((box, i) => box.addEventListener("change", () => onChange(options[i][0])));
    const pills = options.map(([, text], i) => el("label", {}, boxes[i], text));
    const element = el("fieldset", { class: "choice" }, el("legend", {}, label), pills);
    const now = () => options[boxes.findIndex((box) => box.checked)][0];
    const set = (v) => (boxes[options.findIndex(([o]) => o === v)].checked = true);
    return { element, value: now, set };
  };

  // Yes or no: { label, value }. Returns { element, value() }.
  tools.toggle = ({ label, value = false }, onChange) => {
    const element = el("button", { type: "button", "aria-pressed": String(value) }, label);
    const now = () => element.getAttribute("aria-pressed") === "true";
    element.addEventListener("click", () => {
      element.setAttribute("aria-pressed", String(!now()));
      onChange(now());
    });
    return { element, value: now };
  };

  // Steps 0 .. count: buttons, a slider, and the arrow keys anywhere inside of `keys` (an element
  // of the figure). onStep(i) draws the picture of step i from nothing, so that going back shows
  // what was there before. All begin at the end, where the picture is whole. label(i) is one
  // sentence. Returns { element, at(), go(i) }.
  tools.steps = ({ count, label, keys = null, name = "Step" }, onStep) => {
    let step = count;
    const out = el("output", { "aria-live": "polite" });
    const range = el("input", { type: "range", min: 0, max: count, step: 1, value: count, "aria-label": name });
    const go = (i) => {
      step = Math.min(Math.max(i, 0), count);
      range.value = step;
      out.textContent = label(step);
      range.setAttribute("aria-valuetext", `${step} of ${count}: ${out.textContent}`);
      // Not `disabled`: a button that is disabled loses the focus, and the arrow keys with it.
      for (const [button, end] of [[first, 0], [back, 0], [next, count], [last, count]]) {
        button.setAttribute("aria-disabled", String(step === end));
      }
      onStep(step);
    };
    const button = (sign, text, move) =>
      el("button", { type: "button", "aria-label": text, title: text, onclick: () => go(move()) }, sign);
    const first = button("|◀", "First step", () => 0);
    const back = button("◀", "Step back", () => step - 1);
    const next = button("▶", "Step forward", () => step + 1);
    const last = button("▶|", "Last step", () => count);
    range.addEventListener("input", () => go(Number(range.value)));
    const element = el("div", { class: "steps", role: "group", "aria-label": name },
      el("div", { class: "buttons" }, first, back, next, last), range, out);
    (keys || element).addEventListener("keydown", (event) => {
      if (event.target.matches("input, select, textarea")) return; // they have arrow keys of their own
      const way = { ArrowRight: 1, ArrowLeft: -1, Home: -count, End: count }[event.key];
      if (!way) return;
      event.preventDefault();
      go(step + way);
    });
    queueMicrotask(() => go(step)); // after the caller has the element
    return { element, at: () => step, go };
  };

  // ---- Tables ----------------------------------------------------------------------------

  // A table of text and numbers: { caption, head: [...], rows: [[...], ...] }. The first cell of a
  // row is its header. Cells are text, numbers or elements.
  tools.table = ({ caption, head, rows, digits = 4 }) => {
    const cell = (x) => (typeof x === "number" ? tools.number(x, digits) : x);
    const text = (x) => (typeof x === "number" ? null : "text");
    return el("table", {},
      caption ? el("caption", {}, caption) : null,
      head ? el("thead", {}, el("tr", {}, head.map((x) => el("th", { scope: "col", class: text(rows[0]?.[head.indexOf(x)]) }, x)))) : null,
      el("tbody", {}, rows.map((row) => el("tr", {},
        row.map((x, i) => el(i ? "td" : "th", { scope: i ? null : "row", class: text(x) }, cell(x)))))));
  };
  // The same numbers as a table, folded away: what a screen reader reads in place of a picture.
  // `make` returns it, and is called when it is unfolded, and by refresh() while it is.
  tools.asTable = (summary, make) => {
    const box = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": summary });
    const details = el("details", {}, el("summary", {}, summary), box);
    details.refresh = () => details.open && box.replaceChildren(make());
    details.addEventListener("toggle", details.refresh);
    return details;
  };

  // A matrix of numbers as a table of colored cells: { values: [[...]], rows, columns (labels or
  // null), caption, most (the value of full color), signed, digits }.
  tools.matrix = ({ values, rows = null, columns = null, caption = "", most = null, signed = true, digits = 3 }) => {
    const list = values.list ? values.list() : values;
    const top = most ?? Math.max(...list.flat().filter(Number.isFinite).map(Math.abs), 1e-30);
    const shade = signed ? tools.divergingRGB : tools.sequentialRGB;
    const cell = (x) => {
      const rgb = shade(x / top);
      return el("td", { style: { background: css(rgb), color: tools.inkOn(rgb) } }, tools.number(x, digits));
    };
    return el("table", { class: "matrix" },
      caption ? el("caption", {}, caption) : null,
      columns ? el("thead", {}, el("tr", {}, rows ? el("td") : null, columns.map((c) => el("th", { scope: "col" }, c)))) : null,
      el("tbody", {}, list.map((row, i) => el("tr", {}, rows ? el("th", { scope: "row" }, rows[i]) : null, row.map(cell)))));
  };
})();
