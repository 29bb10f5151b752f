// The table of images: filters, order, pages, links by the address, download. Texts are never read as markup.
"use strict";
const holder = document.getElementById("data");
const data = holder ? JSON.parse(holder.textContent) : null;
const PAGE = 50;
const find = (id) => document.getElementById(id);
const made = (tag, text = "", kind = "") => {
  const element = document.createElement(tag);
  if (text !== "") element.textContent = text;
  if (kind) element.className = kind;
  return element;
};

function className(view, label) {
  if (label == null || label < 0) return "";
  const names = data.names[view.names];
  const name = names && names[label];
  return name == null ? `class ${label}` : name;
}

function stateOf(view, at) {
  if (view.prediction[at] == null) return "";
  if (view.abstained[at] === 1) return "abstained";
  if (view.label[at] == null || view.label[at] < 0) return "without a label";
  return view.label[at] === view.prediction[at] ? "right" : "wrong";
}

function levelName(view) { // leaves are shared by trees, but for kinds that tell each tree's by itself
  const alone = data.views.filter((each) => each.heading === view.heading && each.about === view.about && each.level === 0).length === 1;
  return view.level === 0 && alone ? view.name : `${view.tree}/${view.name}`;
}

function viewName(view) {
  return [view.heading, levelName(view), view.about].filter(Boolean).join(" · ");
}

const state = { view: 0, show: "all", above: "", find: "", sort: "index", down: "", page: 0, image: "" };
let order = [];

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(state)) {
    const value = given.get(name);
    state[name] = typeof state[name] === "number" ? Math.max(0, Number(value) | 0) : value || { show: "all", sort: "index" }[name] || "";
  }
  state.view = Math.min(state.view, data.views.length - 1);
}

function writeAddress() {
  const told = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value && value !== { show: "all", sort: "index" }[name]) told.set(name, value);
  }
  history.replaceState(null, "", told.size ? `#${told}` : "#images");
}

function isIn(view, at) { // others were not certified or attacked at this level
  return view.prediction[at] != null || view.label[at] != null || view.value[at] != null;
}

function wanted(at, view, text, above) {
  if (!isIn(view, at)) return false;
  const now = stateOf(view, at);
  if (state.show === "certified" ? now === "abstained" || !(view.value[at] > above) : state.show !== "all" && now !== state.show) return false;
  if (!text) return true;
  const words = [data.index[at], data.path ? data.path[at] : "", className(view, view.label[at]), className(view, view.prediction[at])];
  return words.join("\n").toLowerCase().includes(text);
}

function sortKey(name, view) {
  return {
    index: (at) => data.index[at],
    label: (at) => className(view, view.label[at]),
    prediction: (at) => className(view, view.prediction[at]),
    value: (at) => view.value[at] ?? -1,
    state: (at) => stateOf(view, at),
  }[name] || ((at) => data.index[at]);
}

function choose() {
  const view = data.views[state.view], text = state.find.toLowerCase(), above = Number(state.above) || 0;
  order = [];
  for (let at = 0; at < data.index.length; at++) if (wanted(at, view, text, above)) order.push(at);
  const key = sortKey(state.sort, view), sign = state.down ? -1 : 1;
  const keys = new Map(order.map((at) => [at, key(at)]));
  order.sort((a, b) => {
    const x = keys.get(a), y = keys.get(b);
    return sign * (x < y ? -1 : x > y ? 1 : 0) || a - b;
  });
  state.page = Math.max(0, Math.min(state.page, Math.ceil(order.length / PAGE) - 1));
}

function dots(at, view) {
  const cell = made("td", "", "wide"), row = made("span", "", "dots");
  const told = [];
  for (const other of data.views.filter((each) => each.heading === view.heading && each.about === view.about)) {
    const now = stateOf(other, at);
    if (!now) continue;
    const dot = made("i", "", now);
    dot.title = `${other.name}: ${className(other, other.prediction[at])}, ${now}`;
    told.push(dot.title);
    row.append(dot);
  }
  if (!told.length) return cell;
  row.setAttribute("role", "img");
  row.setAttribute("aria-label", told.join("; "));
  cell.append(row);
  return cell;
}

function line(at, view) {
  const row = made("tr"), picture = made("td"), name = made("td"), open = made("button", data.path ? data.path[at] : String(data.index[at]));
  if (data.pictures) {
    const image = made("img");
    image.loading = "lazy";
    image.alt = "";
    if (data.pictures[at]) image.src = data.pictures[at];
    picture.append(image);
    row.append(picture);
  }
  open.type = "button";
  open.addEventListener("click", () => showPicture(at));
  name.append(open);
  const value = view.value[at], now = stateOf(view, at), told = made("td");
  told.append(made("span", now, `state ${now}`));
  row.append(name, made("td", className(view, view.label[at])), made("td", className(view, view.prediction[at])));
  row.append(made("td", value == null ? "" : value.toFixed(3), "number"), told, dots(at, view));
  return row;
}

function draw() {
  choose();
  const view = data.views[state.view], body = find("shown").tBodies[0];
  body.replaceChildren(...order.slice(state.page * PAGE, (state.page + 1) * PAGE).map((at) => line(at, view)));
  find("unit").textContent = view.unit || "value";
  const last = Math.max(1, Math.ceil(order.length / PAGE));
  find("count").textContent = `${order.length} of ${data.index.length} images, page ${state.page + 1} of ${last}`;
  find("back").disabled = state.page === 0;
  find("next").disabled = state.page + 1 >= last;
  for (const header of document.querySelectorAll("#shown th[data-sort]")) {
    header.setAttribute("aria-sort", header.dataset.sort !== state.sort ? "none" : state.down ? "descending" : "ascending");
  }
  for (const name of ["view", "show", "above", "find"]) if (find(name).value !== String(state[name])) find(name).value = state[name];
  find("above").parentElement.hidden = state.show !== "certified";
  writeAddress();
}

function cellText(value) { // no spreadsheet shall take a text for a formula
  const text = String(value ?? "");
  const plain = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

function download() {
  const head = ["index", ...(data.path ? ["path"] : [])];
  for (const view of data.views) for (const part of ["label", "prediction", view.unit || "value", "state"]) head.push(`${viewName(view)}: ${part}`);
  const lines = [head.map(cellText).join(",")];
  for (const at of order) {
    const cells = [data.index[at], ...(data.path ? [data.path[at]] : [])];
    for (const view of data.views) cells.push(className(view, view.label[at]), className(view, view.prediction[at]), view.value[at], stateOf(view, at));
    lines.push(cells.map(cellText).join(","));
  }
  const link = made("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
  link.download = "images.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function startTable() {
  readAddress();
  data.views.forEach((view, place) => {
    const option = made("option", viewName(view));
    option.value = place;
    find("view").append(option);
  });
  for (const name of ["view", "show", "above", "find"]) {
    find(name).addEventListener("input", () => {
      state[name] = name === "view" ? Number(find(name).value) : find(name).value;
      state.page = 0;
      draw();
    });
  }
  for (const header of document.querySelectorAll("#shown th[data-sort] button")) {
    header.addEventListener("click", () => {
      const name = header.parentElement.dataset.sort;
      state.down = state.sort === name && !state.down ? "1" : "";
      state.sort = name;
      draw();
    });
  }
  find("back").addEventListener("click", () => { state.page -= 1; draw(); });
  find("next").addEventListener("click", () => { state.page += 1; draw(); });
  find("download").addEventListener("click", download);
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  find("reset").addEventListener("click", () => { Object.assign(state, { show: "all", above: "", find: "", sort: "index", down: "", page: 0 }); draw(); });
  window.addEventListener("hashchange", () => { if (location.hash.includes("=")) { readAddress(); draw(); openAddressed(); } });
  if (location.hash.includes("=")) draw(); else { const anchor = location.hash; draw(); history.replaceState(null, "", anchor || location.pathname); }
  find("images").hidden = false;
}
