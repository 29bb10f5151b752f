// Values of charts under the pointer or the arrow keys, and curves that can be hidden.
"use strict";
for (const chart of document.querySelectorAll("svg[data-chart]")) {
  const [low, high] = chart.dataset.range.split(" ").map(Number);
  const numbers = (text) => (text || "").split(" ").filter(Boolean).map((word) => (word === "-" ? null : Number(word)));
  const curves = [...chart.querySelectorAll(".curve")].map((group) => ({
    group, name: group.dataset.name,
    x: numbers(group.dataset.x), y: numbers(group.dataset.y), low: numbers(group.dataset.low), high: numbers(group.dataset.high),
  }));
  const grid = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
  const readout = document.createElement("div");
  readout.className = "readout";
  readout.setAttribute("role", "status");
  chart.after(readout);
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
  cursor.setAttribute("class", "cursor");
  chart.append(cursor);
  const LEFT = 50, WIDTH = 398, TOP = 26, HEIGHT = 200; // as hrvlm.charts.frame has them
  let place = -1;

  function valueAt(curve, x) { // of steps the next x, of lines this one alone
    const at = chart.dataset.chart === "line" ? curve.x.indexOf(x) : curve.x.findIndex((each) => each >= x);
    if (at < 0 || curve.y[at] == null) return chart.dataset.chart === "line" ? "" : `${curve.name} 0`;
    const around = curve.low.length ? ` (${curve.low[at].toFixed(1)} to ${curve.high[at].toFixed(1)})` : "";
    return `${curve.name} ${Number(curve.y[at].toPrecision(4))}${around}`;
  }

  function tell(at) {
    place = Math.max(0, Math.min(grid.length - 1, at));
    const x = grid[place], across = LEFT + (WIDTH * (x - low)) / (high - low || 1);
    cursor.setAttribute("d", `M${across} ${TOP}v${HEIGHT}`);
    const told = curves.filter((curve) => !curve.group.classList.contains("off")).map((curve) => valueAt(curve, x));
    readout.textContent = `${Number(x.toPrecision(4))}: ${told.filter(Boolean).join(", ")}`;
  }

  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const at = low + (((event.clientX - box.left) / box.width) * 460 - LEFT) / WIDTH * (high - low);
    let best = 0;
    grid.forEach((x, k) => { if (Math.abs(x - at) < Math.abs(grid[best] - at)) best = k; });
    if (grid.length) tell(best);
  });
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && grid.length && event.target === chart) { event.preventDefault(); tell(place + step); }
  });
  if (chart.dataset.chart === "area") continue;
  for (const key of chart.querySelectorAll(".key")) {
    const curve = curves.find((each) => each.group.dataset.series === key.dataset.series);
    if (!curve) continue;
    for (const [name, value] of [["role", "button"], ["tabindex", "0"], ["aria-pressed", "true"], ["aria-label", `${curve.name}, shown`]]) key.setAttribute(name, value);
    const toggle = () => {
      const off = curve.group.classList.toggle("off");
      key.classList.toggle("off", off);
      key.setAttribute("aria-pressed", String(!off));
      if (place >= 0) tell(place);
    };
    key.addEventListener("click", toggle);
    key.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); }
    });
  }
}
