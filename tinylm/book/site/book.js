// Search on the pages of `tinylm book --html`, and details that open for print.
// The rules are those of tinylm/book/search.py, terms.py and references.py, on the words in
// window.BOOK (index.js): whole words, the defining row first, then concept, code, section.
"use strict";

(function () {
  const BOOK = window.BOOK;
  const WEIGHTS = [40, 25, 20, 10]; // name, concept, code, title of the section
  const DEFINING = 1000;
  const SHOWN = 12;

  function normal(text) {
    return text
      .toLowerCase()
      .replaceAll("\u2019", "'")
      .replace(/\b(pre|fine|auto|re|co)-(?=[a-z])/g, "$1")
      .replace(/is(ation|ed|ing|es|e)\b/g, "iz$1")
      .replace(/ll(ing|ed|er)\b/g, "l$1");
  }

  const wordsOf = (text) => normal(text).match(/[\p{L}\p{N}]+/gu) || [];

  function singular(word) {
    if (word.length > 4 && word.endsWith("ies")) return word.slice(0, -3) + "y";
    if (word.length > 3 && word.endsWith("s") && !/(ss|us|is)$/.test(word)) return word.slice(0, -1);
    return word;
  }

  function root(word) {
    const short = word.replace(/(ations?|ions?|ings?|ed|ers?|ors?|es|s|e)$/, "");
    return short.length >= 4 ? short : word;
  }

  const padded = (words) => ` ${words.join(" ")} `;

  function forms(words) {
    return [padded(words), padded(words.map(singular)), padded(words.map(root))];
  }

  // 1 for the words themselves, .95 in singular and plural, .6 in another form, 0 for none.
  function match(text, phrase, loose) {
    if (text[0].includes(phrase[0])) return 1;
    if (text[1].includes(phrase[1])) return 0.95;
    return loose && text[2].includes(phrase[2]) ? 0.6 : 0;
  }

  let rows = null;
  let known = null;
  let longest = 1;

  function prepare() {
    if (rows) return;
    rows = BOOK.rows.map((row) => ({
      id: row[0], file: row[1], section: row[2], name: row[3],
      texts: row.slice(4, 8).map((text) => forms(text.split(" "))),
      all: row.slice(4, 7).join(" "),
      equation: row[8], table: row[9], figure: row[10],
    }));
    known = new Map();
    for (const [phrases, defining] of BOOK.terms) {
      for (const phrase of phrases) {
        if (known.has(phrase)) continue;
        longest = Math.max(longest, phrase.split(" ").length);
        known.set(phrase, {
          literal: phrase,
          phrase: forms(phrase.split(" ")),
          others: phrases.filter((p) => p !== phrase).map((p) => forms(p.split(" "))),
          rows: defining,
        });
      }
    }
  }

  // A query as terms: the longest that are known, then single words.
  function split(query) {
    const words = wordsOf(query);
    const found = [];
    const single = [];
    for (let i = 0; i < words.length; ) {
      let n = Math.min(longest, words.length - i);
      while (n && !known.has(words.slice(i, i + n).join(" "))) n--;
      if (n) {
        found.push(known.get(words.slice(i, i + n).join(" ")));
      } else {
        n = 1;
        const term = { literal: words[i], phrase: forms([words[i]]), others: [], rows: [] };
        single.push(term);
        if (!BOOK.stop.includes(words[i])) found.push(term);
      }
      i += n;
    }
    return found.length ? found : single;
  }

  // References of a query as [kind, number], and what is left of it.
  function references(query) {
    const asked = [];
    const take = (kind, pattern) => {
      query = query.replace(pattern, (...groups) => {
        asked.push([kind, groups.slice(1, -2).find(Boolean) || ""]);
        return " ";
      });
    };
    const number = String.raw`[(\[]?\s*(\d\.\d+)\s*[)\]]?`;
    take("equation", new RegExp(String.raw`(?:\beqn?s?\b\.?|\bequations?\b|\bformulas?\b)\s*` + number, "gi"));
    take("table", new RegExp(String.raw`\btab(?:le)?s?\b\.?\s*` + number, "gi"));
    take("figure", new RegExp(String.raw`\bfig(?:ure)?s?\b\.?\s*` + number + String.raw`(?:\s*\(?[a-z]\)?(?=\s|$))?`, "gi"));
    take("equation", /(?<!\w)\(\s*(\d\.\d+)\s*\)/g);
    const bare = query.trim();
    if (/^\d$/.test(bare)) return [[...asked, ["section", bare]], ""];
    take("section", /(?:\bd2l\s*(11(?:\.\d+)*)?|(?:\bsections?|\bsec\.?|\u00a7+|\bchapters?|\bch\.?)\s*(\d+(?:\.\d+)*)|(?<![\w.-])(\d+(?:\.\d+){1,3})(?![\w.-]*\w))\.?/gi);
    for (const reference of asked) {
      if (reference[0] === "section" && /^(11\b|$)/.test(reference[1])) {
        reference[1] = "D2L " + (reference[1] || "11");
      }
    }
    return [asked, query.trim()];
  }

  const within = (section, number) => (section + ".").startsWith(number + ".");

  function meeting(chosen, [kind, number]) {
    if (kind !== "section") return chosen.filter((row) => row[kind].includes(number));
    if (number in BOOK.titles) return chosen.filter((row) => within(row.section, number));
    const equations = chosen.filter((row) => row.equation.includes(number));
    if (equations.length) return equations;
    // No such section: the one that would hold it.
    for (let up = number; up.includes("."); ) {
      up = up.slice(0, up.lastIndexOf("."));
      if (up in BOOK.titles) return chosen.filter((row) => within(row.section, up));
    }
    return [];
  }

  function score(term, row, at) {
    let best = 0;
    row.texts.forEach((text, i) => {
      let here = match(text, term.phrase, true);
      if (i < 3) for (const other of term.others) here = Math.max(here, 0.7 * match(text, other, false));
      best = Math.max(best, WEIGHTS[i] * here);
    });
    const place = term.rows.indexOf(at);
    return place < 0 ? best : DEFINING - 50 * place + best / 100;
  }

  function ranked(chosen, terms) {
    const found = [];
    for (const row of chosen) {
      const scores = terms.map((term) => score(term, row, rows.indexOf(row)));
      if (scores.every(Boolean)) found.push([scores.reduce((a, b) => a + b, 0), row]);
    }
    return found.sort((a, b) => b[0] - a[0]).map((pair) => pair[1]);
  }

  // The rows that a reader means, best first.
  function search(query) {
    prepare();
    const ids = query.toUpperCase().split(/\s+/).filter(Boolean);
    const named = ids.map((id) => rows.find((row) => row.id.toUpperCase() === id));
    if (ids.length && named.every(Boolean)) return named;
    const [asked, rest] = references(query);
    const chosen = asked.reduce(meeting, rows);
    const terms = split(rest);
    if (!terms.length) return asked.length ? chosen : [];
    let found = ranked(chosen, terms);
    if (!found.length && asked.length) found = ranked(rows, terms);
    const sure = terms.filter((term) => term.rows.length);
    if (!found.length && sure.length && sure.length < terms.length) found = ranked(rows, sure);
    if (!found.length && normal(rest).length > 2) {
      found = rows.filter((row) => row.all.includes(normal(rest)));
    }
    return found;
  }

  window.searchBook = search;

  // The box: a combobox whose list holds links.
  const form = document.querySelector(".search");
  const input = document.getElementById("query");
  const list = document.getElementById("hits");
  const count = document.getElementById("count");
  let at = -1;

  function element(name, text, properties) {
    const made = document.createElement(name);
    if (text) made.textContent = text; // never as HTML
    return Object.assign(made, properties);
  }

  function show() {
    const query = input.value.trim();
    const found = query ? search(query) : [];
    list.replaceChildren();
    at = -1;
    input.removeAttribute("aria-activedescendant");
    found.slice(0, SHOWN).forEach((row, i) => {
      const link = element("a", "", { href: `${row.file}#${row.id}`, id: `hit${i}`, tabIndex: -1 });
      link.setAttribute("role", "option");
      link.setAttribute("aria-selected", "false");
      link.append(element("span", row.name), element("small", `${row.section}  ${row.id}`));
      list.append(link);
    });
    if (query && !found.length) {
      const none = element("p", "Nothing found.");
      none.setAttribute("role", "option");
      none.setAttribute("aria-selected", "false");
      list.append(none);
    }
    if (found.length > SHOWN) {
      const more = element("p", `and ${found.length - SHOWN} more: add a word`);
      more.setAttribute("role", "option");
      more.setAttribute("aria-selected", "false");
      list.append(more);
    }
    count.textContent = query ? `${found.length} found` : "";
    list.hidden = !query;
    input.setAttribute("aria-expanded", String(!list.hidden));
  }

  function choose(next) {
    const links = list.querySelectorAll("a");
    if (!links.length) return;
    if (at >= 0) links[at].setAttribute("aria-selected", "false");
    at = (next + links.length) % links.length;
    links[at].setAttribute("aria-selected", "true");
    links[at].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", links[at].id);
  }

  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
  }

  if (form && BOOK) {
    form.hidden = false;
    input.addEventListener("input", show);
    input.addEventListener("focus", () => input.value.trim() && show());
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        choose(event.key === "ArrowDown" ? at + 1 : at < 0 ? -1 : at - 1);
      } else if (event.key === "Escape") {
        close();
      }
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const links = list.querySelectorAll("a");
      if (links.length) links[Math.max(at, 0)].click();
    });
    list.addEventListener("click", (event) => {
      if (event.target.closest("a")) close();
    });
    document.addEventListener("click", (event) => {
      if (!form.contains(event.target)) close();
    });
    document.addEventListener("keydown", (event) => {
      const busy = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
      if (event.key === "/" && !busy && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        input.focus();
        input.select();
      }
    });
  }

  // What is folded up on the screen is printed; afterwards it is as it was.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((part) => (part.open = true));
  });
  window.addEventListener("afterprint", () => folded.forEach((part) => (part.open = false)));
})();
