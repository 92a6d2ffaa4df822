// The runtime of a page: it finds the figures, decodes their data, and draws each when it comes
// into view. A kind of figure is one file that calls
//     tinylm.figure("kind", (root, data, tools) => { ... })
// where root is an empty element of its own, data is what Python handed over (values.py), and tools
// is everything of tools.js and charts.js. A figure reads and writes inside of root only.
"use strict";

const tinylm = {
  kinds: new Map(), // kind -> draw
  tools: {}, // filled by tools.js and charts.js
  redraws: new Set(), // called when the page turns dark or light

  figure(kind, draw) {
    tinylm.kinds.set(kind, draw);
  },
};

// ---- Data: the three forms of values.py ------------------------------------------------------

// An array of any number of axes over one flat typed array, in rows as NumPy's.
class NDArray {
  constructor(data, shape) {
    this.data = data;
    this.shape = shape;
  }
  get length() {
    return this.shape[0];
  }
  // The number at these indices: a.at(1, 2).
  at(...indices) {
    let place = 0;
    indices.forEach((index, axis) => (place = place * this.shape[axis] + index));
    return this.data[place];
  }
  // What lies at an index of the first axis: an NDArray, or a number if there is but one axis.
  row(index) {
    if (this.shape.length === 1) return this.data[index];
    const rest = this.shape.slice(1);
    const size = rest.reduce((a, b) => a * b, 1);
    return new NDArray(this.data.subarray(index * size, (index + 1) * size), rest);
  }
  // Nested lists of plain numbers.
  list() {
    if (this.shape.length === 1) return Array.from(this.data);
    return Array.from({ length: this.length }, (_, index) => this.row(index).list());
  }
}

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64); // browsers since 2025
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// float16, which not every browser has as a typed array: sign, 5 bits of exponent, 10 of fraction.
function halves(bytes) {
  const bits = new Uint16Array(bytes.buffer);
  const numbers = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) numbers[i] = HALVES[bits[i]];
  return numbers;
}
// All 65536 of them.
const HALVES = Float32Array.from({ length: 65536 }, (_, h) => {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 31;
  const fraction = h & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
});

const READERS = {
  f4: (bytes) => new Float32Array(bytes.buffer),
  f2: halves,
  i4: (bytes) => new Int32Array(bytes.buffer),
  b1: (bytes) => bytes,
};
const NUMBERS = { nan: NaN, inf: Infinity, "-inf": -Infinity };

// Called by JSON.parse for every value, from the inside out.
function revived(key, value) {
  if (value === null || typeof value !== "object") return value;
  if ("$number" in value) return NUMBERS[value.$number];
  if ("$array" in value) {
    return new NDArray(READERS[value.$array](bytesOf(value.data)), value.shape);
  }
  return value;
}

tinylm.decode = (text) => JSON.parse(text, revived);

// ---- Drawing on demand -----------------------------------------------------------------------

function drawFigure(section) {
  if (section.dataset.drawn) return;
  section.dataset.drawn = "yes";
  const root = section.querySelector(".stage");
  try {
    const data = tinylm.decode(document.getElementById(`${section.id}-data`).textContent);
    tinylm.kinds.get(section.dataset.kind)(root, data, { ...tinylm.tools, id: section.id });
  } catch (error) {
    const line = document.createElement("p");
    line.className = "failed";
    line.setAttribute("role", "alert");
    line.textContent = `This figure could not be drawn: ${error.message}`;
    root.replaceChildren(line);
    console.error(error);
  }
}

// Call `show` once, when an element first comes near the part of the page that is seen.
const unseen = new Set(); // functions that show what nobody has looked at yet
tinylm.tools.whenSeen = (element, show) => {
  const now = () => {
    watcher.disconnect();
    unseen.delete(now);
    show();
  };
  const watcher = new IntersectionObserver(
    (entries) => entries.some((entry) => entry.isIntersecting) && now(),
    { rootMargin: "300px" },
  );
  unseen.add(now);
  watcher.observe(element);
};
// On paper everything is seen. A figure that is drawn adds its own parts to the set, and a loop over
// a Set comes to those too.
addEventListener("beforeprint", () => {
  for (const now of unseen) now();
});

// Call `redraw` when the page turns dark or light: for canvases, whose colors CSS does not set.
tinylm.tools.onTheme = (redraw) => tinylm.redraws.add(redraw);

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const redraw of tinylm.redraws) redraw();
});

addEventListener("DOMContentLoaded", () => {
  for (const section of document.querySelectorAll(".figure")) {
    tinylm.tools.whenSeen(section, () => drawFigure(section));
  }
});

// The form of a page that is served: a model takes a while to read.
addEventListener("submit", (event) => {
  const button = event.target.querySelector("button");
  button.textContent = "Reading …";
  button.setAttribute("aria-disabled", "true");
});
