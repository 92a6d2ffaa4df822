// Over-optimization: the best of n by a proxy, as n grows. Data: rewards.py.
"use strict";

tinylm.figure("proxy", (root, data, tools) => {
  const { el, svg, number } = tools;
  const place = el("div");
  function drawn(curve) {
    const rows = curve.rows.list();
    const x = rows.map((row) => row[0]);
    const all = rows.flatMap((row) => [row[1], row[2]]);
    const options = { x: [0, Math.max(...x)], y: [Math.min(...all), Math.max(...all)], width: 680, height: 320 };
    const picture = tools.lines({
      series: [
        { name: "proxy: what chooses", x, y: rows.map((row) => row[1]), color: 1, dash: "6 3" },
        { name: "gold: what is wanted", x, y: rows.map((row) => row[2]), color: 0, dash: "none" },
      ],
      xLabel: "KL(best of n || policy), nats", yLabel: "expected reward", ...options,
      label: `Proxy from ${number(rows[0][1])} to ${number(rows.at(-1)[1])}, gold from ${number(rows[0][2])} to ${number(rows.at(-1)[2])}`,
    });
    const axes = tools.axes(options);
    const dots = [1, 2].map((column) => {
      const dot = svg("circle", { r: 5, "stroke-width": 2, fill: "none" });
      dot.style.stroke = "var(--focus)";
      picture.append(dot);
      return [column, dot];
    });
    const best = rows.reduce((top, row, i) => (row[2] > rows[top][2] ? i : top), 0);
    const steps = tools.steps({
      count: rows.length - 1, keys: place, name: "n",
      label: (i) => `The best of ${data.n[i]}: KL ${number(rows[i][0])} nats, proxy ${number(rows[i][1])}, gold ${number(rows[i][2])}` +
        (i === best ? ", its highest." : "."),
    }, (i) => dots.forEach(([column, dot]) => {
      dot.setAttribute("cx", axes.x(rows[i][0]));
      dot.setAttribute("cy", axes.y(rows[i][column]));
    }));
    place.replaceChildren(steps.element, picture, tools.asTable("Numbers of gold and proxy", () => tools.table({
      head: ["n", "KL (nats)", "proxy", "gold"], rows: rows.map((row, i) => [String(data.n[i]), ...row]), digits: 7 })));
  }

  const choice = tools.choice({ label: "Error of the proxy, in spreads of the gold reward", value: 1,
    options: data.curves.map((curve, i) => [i, curve.noise ? String(curve.noise) : "none"]) }, (i) => drawn(data.curves[i]));
  root.append(choice.element, place);
  drawn(data.curves[1]);
});
