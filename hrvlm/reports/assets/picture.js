// One image: what every level says of it, and the intervals of its semantic changes, level upon level.
"use strict";
let opened = -1;

function pieces(text) { // [share at which a class ends, class]; null where nothing is certified
  if (text == null || text.startsWith("-")) return null;
  const words = text.split("|")[0];
  return words ? words.split(";").map((part) => part.split(" ").map(Number)) : [];
}

function stretches(text) {
  const words = (text || "").split("|")[1];
  return words ? words.split(";").map((part) => part.split(" ").map(Number)) : [];
}

function classAt(found, own, share) {
  const piece = found.find(([end]) => share < end);
  return piece ? piece[1] : found.length ? found[found.length - 1][1] : own;
}

function part(bar, from, to, kind, words, title) {
  const span = made("span", words, kind);
  span.style.left = `${from / 10}%`;
  span.style.width = `${(to - from) / 10}%`;
  span.title = title;
  bar.append(span);
}

function against(bar, lower, upper, statement) { // where the class below does not lie in the class above
  const parents = data.parents[`${upper.tree}/${lower.level}`];
  if (!parents || !lower.found || !upper.found) return false;
  const ends = [...new Set([...lower.found, ...upper.found].map(([end]) => end).concat(1000))].sort((a, b) => a - b);
  let from = 0, any = false;
  for (const to of ends) {
    const below = classAt(lower.found, lower.own, from), above = classAt(upper.found, upper.own, from);
    if (below >= 0 && above >= 0 && parents[below] !== above) { part(bar, from, to, "against", "", `contradicts ${lower.name}`); any = true; }
    from = to;
  }
  return any;
}

function barOf(entry) {
  const bar = made("div", "", "bar");
  const whole = entry.found && !entry.found.length ? [[1000, entry.own]] : entry.found;
  let from = 0;
  for (const [end, label] of whole || []) {
    const kind = label === entry.own ? (entry.label >= 0 && entry.own !== entry.label ? "wrong" : "same") : label === entry.label ? "right" : "other";
    const words = className(entry.view, label);
    part(bar, from, end, kind, words, `${words}: ${from / 10} to ${end / 10} percent of the way`);
    from = end;
  }
  for (const [rate, share] of entry.stretches) if (share > 0) part(bar, 0, share, "stretch", "", `calibrated at ${rate}: ${share / 10} percent`);
  return bar;
}

function changesOf(at) {
  const groups = new Map();
  for (const statement of data.changes) {
    const text = statement.rows[at];
    if (text == null) continue;
    const view = data.views[statement.view], key = `${statement.change}, ${statement.about}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push({
      tree: view.tree, level: view.level, name: view.level === 0 ? view.name : `${view.tree}/${view.name}`, view,
      own: view.prediction[at], label: view.label[at] ?? -1, found: pieces(text), stretches: stretches(text),
    });
  }
  return groups;
}

function changeFigure(title, entries) {
  const block = made("div"), grid = made("div", "", "change");
  entries.sort((a, b) => (a.level > 0) - (b.level > 0) || a.tree.localeCompare(b.tree) || a.level - b.level);
  const notes = [];
  for (const entry of entries) {
    const bar = barOf(entry);
    const lower = entries.find((each) => each.level === entry.level - 1 && (each.level === 0 || each.tree === entry.tree));
    if (entry.level > 0 && lower && against(bar, lower, entry)) notes.push(`${entry.name} contradicts ${lower.name}`);
    grid.append(made("span", entry.name), bar);
  }
  block.append(made("h3", title), grid);
  if (notes.length) block.append(made("p", `Levels contradict each other: ${notes.join("; ")}.`, "bad"));
  return block;
}

function legend() {
  const words = made("p", "", "words");
  const told = [["same", "as for the image"], ["wrong", "as for the image, which is wrong"], ["right", "changed to the right class"], ["other", "changed to another class"],
    ["none", "nothing certified"], ["against", "contradicts the level below"], ["stretch", "calibrated stretch"]];
  for (const [kind, text] of told) {
    const item = made("span"), mark = made("i", "", kind);
    item.append(mark, text);
    words.append(item);
  }
  return words;
}

function cellOf(view, at) { // prediction, value and state of one level
  const cell = made("td"), now = view ? stateOf(view, at) : "", value = view ? view.value[at] : null;
  if (!now) return cell;
  cell.append(made("span", className(view, view.prediction[at]) || "none", `state ${now}`));
  const words = [now, value == null ? "" : value.toFixed(3)].filter(Boolean).join(", ");
  cell.append(made("div", words, "quiet"));
  if (view.texts && view.texts[at]) cell.append(made("div", `“${view.texts[at]}”`));
  return cell;
}

function levelTable(at) { // a line per level, a column per kind of row
  const columns = new Map(), lines = new Map();
  for (const view of data.views.filter((each) => stateOf(each, at))) {
    const column = [view.heading, view.about].filter(Boolean).join(": "), name = levelName(view);
    columns.set(column, view.unit);
    if (!lines.has(name)) lines.set(name, { right: className(view, view.label[at]), cells: new Map() });
    lines.get(name).cells.set(column, view);
  }
  const table = made("table"), top = made("thead"), head = made("tr"), body = made("tbody");
  for (const name of ["level", "right class"]) head.append(made("th", name));
  for (const [column, unit] of columns) head.append(made("th", unit ? `${column}, ${unit}` : column));
  for (const [name, found] of lines) {
    const row = made("tr");
    row.append(made("th", name), made("td", found.right));
    for (const column of columns.keys()) row.append(cellOf(found.cells.get(column), at));
    body.append(row);
  }
  top.append(head);
  table.append(top, body);
  const box = made("div", "", "scroll");
  box.tabIndex = 0;
  box.append(table);
  return box;
}

function showPicture(at) {
  const dialog = find("picture"), body = find("picture-body");
  opened = at;
  find("picture-title").textContent = `Image ${data.index[at]}` + (data.path ? `, ${data.path[at]}` : "");
  body.replaceChildren();
  if (data.pictures && data.pictures[at]) {
    const image = made("img");
    image.src = data.pictures[at];
    image.alt = `image ${data.index[at]}`;
    body.append(image);
  }
  body.append(levelTable(at));
  const groups = changesOf(at);
  if (groups.size) body.append(made("h3", "Semantic changes: from the image (left) to the target (right)"), legend());
  for (const [title, entries] of groups) body.append(changeFigure(title, entries));
  state.image = String(data.index[at]);
  writeAddress();
  if (!dialog.open) dialog.showModal();
}

function openAddressed() {
  const at = state.image === "" ? -1 : data.index.indexOf(Number(state.image));
  if (at >= 0 && at !== opened) showPicture(at);
}

function move(step) {
  const place = order.indexOf(opened) + step;
  if (place >= 0 && place < order.length) showPicture(order[place]);
}

if (data) {
  startTable();
  find("picture-close").addEventListener("click", () => find("picture").close());
  find("picture-before").addEventListener("click", () => move(-1));
  find("picture-after").addEventListener("click", () => move(1));
  find("picture").addEventListener("close", () => { opened = -1; state.image = ""; writeAddress(); });
  find("picture").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") move(-1);
    if (event.key === "ArrowRight") move(1);
  });
  openAddressed();
}
