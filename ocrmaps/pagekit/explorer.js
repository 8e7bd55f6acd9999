// The sample browser of a page: a list of which only the visible rows exist, and a picture with layers to turn on.
// Everything it shows comes from the page's JSON block and is set as text, never as markup.
"use strict";
(() => {
  const root = document.getElementById("explorer");
  const source = document.getElementById("explorer-data");
  if (!root || !source) return;
  const data = JSON.parse(source.textContent);
  const count = data.names.length;
  const ROW = 64, SPARE = 6;
  const SVG = "http://www.w3.org/2000/svg";

  const make = (tag, props, ...children) => {
    const node = Object.assign(document.createElement(tag), props);
    node.append(...children);
    return node;
  };
  const attributes = (node, pairs) => {
    for (const [name, value] of Object.entries(pairs)) node.setAttribute(name, value);
    return node;
  };
  const shown = (value, digits) =>
    value === null ? "–" : String(Number(value.toFixed(digits)));

  // State: which samples are listed in which order, which one is looked at, which layers are on.
  let order = [], current = -1, zoom = 1, picked = null;
  const on = new Map(data.layers.map(layer => [layer.key, layer.on]));
  const chosen = new Map();

  // Controls
  const search = attributes(make("input", { type: "search", id: "x-search" }), {
    placeholder: "name or text", autocomplete: "off", spellcheck: "false" });
  const field = (id, label, control) =>
    make("label", { className: "x-field", htmlFor: id }, make("span", { textContent: label }), control);
  const facets = make("div", { className: "x-controls" });
  data.facets.forEach((facet, f) => {
    const many = new Array(facet.values.length).fill(0);
    for (const of of facet.of) for (const value of [of].flat()) many[value] += 1;
    const select = make("select", { id: `x-facet-${f}` }, make("option", { value: "-1", textContent: "all" }));
    facet.values.forEach((value, v) =>
      select.append(make("option", { value: String(v), textContent: `${value} (${many[v]})` })));
    select.addEventListener("change", () => { chosen.set(f, Number(select.value)); list(); });
    facets.append(field(select.id, facet.name, select));
  });
  const sort = make("select", { id: "x-sort" });
  data.figures.forEach((figure, f) => {
    for (const way of figure.worst === "low" ? [1, -1] : [-1, 1])
      sort.append(make("option", { value: `${f} ${way}`, textContent: `${figure.name}, ${way < 0 ? "most" : "least"} first` }));
  });
  sort.append(make("option", { value: "name", textContent: "name" }), make("option", { value: "given", textContent: "order of the data" }));
  const clear = make("button", { type: "button", textContent: "Clear filters" });
  const help = attributes(make("button", { type: "button", textContent: "?" }), { "aria-label": "Keys", title: "Keys (?)" });
  const controls = make("div", { className: "x-controls" }, field("x-search", "Find", search), field("x-sort", "Sort", sort),
    make("div", { className: "x-buttons" }, clear, help));
  // On a phone the filters would fill the first screen.
  const filtering = make("details", { open: innerWidth > 832 }, make("summary", { textContent: "Filters" }), facets);
  const status = attributes(make("p", { className: "x-status" }), { role: "status", "aria-live": "polite" });

  // List
  const rows = make("div", { className: "x-rows" });
  const box = attributes(make("div", { className: "x-list", id: "x-list", tabIndex: 0 }, rows), {
    role: "listbox", "aria-label": "Pictures" });

  // Viewer
  const toggles = attributes(make("div", { className: "x-toggles" }), { role: "group", "aria-label": "Layers" });
  const buttons = new Map();
  for (const layer of data.layers) {
    const swatch = make("i");
    swatch.style.background = layer.color || "transparent";
    const button = attributes(make("button", { type: "button" }, ...(layer.color ? [swatch] : []),
      make("span", { textContent: layer.name }), make("kbd", { textContent: layer.letter })), {
      "aria-pressed": String(layer.on), "data-layer": layer.key });
    button.addEventListener("click", () => toggle(layer.key));
    buttons.set(layer.key, button);
    toggles.append(button);
  }
  const button = (text, label, act) => {
    const node = attributes(make("button", { type: "button", textContent: text }), { "aria-label": label, title: label });
    node.addEventListener("click", act);
    return node;
  };
  const large = button("⤢", "Large view (Enter)", () => openLarge());
  const tools = make("div", { className: "x-tools" },
    button("‹", "Previous picture (k)", () => move(-1)), button("›", "Next picture (j)", () => move(1)),
    button("−", "Smaller (-)", () => magnify(0.5)), button("+", "Larger (+)", () => magnify(2)),
    large, button("✕", "Close (Escape)", () => closeLarge()));
  tools.lastChild.className = "x-close";
  const sheet = make("div", { className: "x-sheet" });
  const stage = attributes(make("div", { className: "x-stage", tabIndex: 0 }, sheet), {
    role: "group", "aria-label": "Picture with layers" });
  const title = make("h3", { className: "x-name" });
  const facts = make("dl", { className: "x-facts" });
  const pick = attributes(make("p", { className: "x-pick" }), { role: "status", "aria-live": "polite" });
  const legend = make("ul", { className: "key" });
  for (const kind of Object.values(data.kinds)) {
    const mark = make("i", { className: kind.dash ? "dashed" : "" });
    mark.style.setProperty("--color", kind.color);
    legend.append(make("li", {}, mark, kind.name));
  }
  const notes = make("ul", { className: "x-notes" });
  const view = attributes(make("div", { className: "x-view" }, make("div", { className: "x-bar" }, toggles, tools), title, stage,
    pick, legend, facts, notes), { "aria-label": "Selected picture" });
  const slot = make("div", { className: "x-slot" }, view);
  const dialog = attributes(make("dialog", { className: "x-dialog" }), { "aria-label": "Picture, large view" });
  function closeLarge() {
    if (dialog.open) dialog.close();
    if (view.parentNode === slot) return;
    slot.append(view);
    draw();
    box.focus({ preventScroll: true });
  }
  dialog.addEventListener("close", closeLarge);  // the browser closes it, too

  // Keys
  const keys = [["j / ↓", "next picture"], ["k / ↑", "previous picture"], ["Enter", "large view"], ["Escape", "close"],
    ["/", "find"], ["x", "clear filters"], ["+ / -", "larger, smaller"], ["[ / ]", "previous, next outline"],
    ...data.layers.map(layer => [layer.letter, layer.name]), ["?", "these keys"]];
  const sheetOfKeys = make("dl", { className: "x-keys" });
  for (const [key, what] of keys)
    sheetOfKeys.append(make("div", {}, make("dt", {}, make("kbd", { textContent: key })), make("dd", { textContent: what })));
  const closeHelp = make("button", { type: "button", textContent: "Close" });
  const helper = attributes(make("dialog", { className: "x-help" }, make("h3", { textContent: "Keys" }), sheetOfKeys, closeHelp), {
    "aria-label": "Keys" });
  closeHelp.addEventListener("click", () => helper.close());
  help.addEventListener("click", () => helper.showModal());

  // One filter for each channel of a map picture: its value becomes opacity. Pixels need not be readable for that.
  const filters = attributes(document.createElementNS(SVG, "svg"), { width: 0, height: 0, "aria-hidden": "true", class: "x-filters" });
  data.layers.forEach((layer, l) => {
    if (layer.kind !== "map") return;
    const tint = [1, 3, 5].map(at => parseInt(layer.color.slice(at, at + 2), 16) / 255);
    const alpha = [0, 1, 2].map(channel => (channel === layer.channel ? 1 : 0));
    const filter = attributes(document.createElementNS(SVG, "filter"), {
      id: `x-map-${l}`, "color-interpolation-filters": "sRGB", x: 0, y: 0, width: 1, height: 1 });
    filter.append(attributes(document.createElementNS(SVG, "feColorMatrix"), { type: "matrix",
      values: [...tint.map(value => `0 0 0 0 ${value}`), `${alpha.join(" ")} 0 0`].join(" ") }));
    filters.append(filter);
  });

  root.append(controls, ...(data.facets.length ? [filtering] : []), status, make("div", { className: "x-panes" }, box, slot), dialog, helper, filters);
  root.classList.add("live");

  // Listing
  const matches = (sample, words) => {
    for (const [f, value] of chosen) {
      if (value < 0) continue;
      const of = data.facets[f].of[sample];
      if (Array.isArray(of) ? !of.includes(value) : of !== value) return false;
    }
    return !words || data.names[sample].toLowerCase().includes(words) ||
      Object.values(data.words).some(layer => layer[sample].some(word => word.toLowerCase().includes(words)));
  };
  function list() {
    const words = search.value.trim().toLowerCase();
    order = [];
    for (let sample = 0; sample < count; sample++) if (matches(sample, words)) order.push(sample);
    if (sort.value === "name") order.sort((a, b) => (data.names[a] < data.names[b] ? -1 : 1));
    else if (sort.value !== "given") {
      const [f, way] = sort.value.split(" ").map(Number), of = data.figures[f].of;
      // Samples without a value come last, whichever way.
      order.sort((a, b) => (of[a] === null) - (of[b] === null) || way * (of[a] - of[b]) || a - b);
    }
    status.textContent = order.length === count ? `${count} pictures` : `${order.length} of ${count} pictures`;
    rows.style.height = `${order.length * ROW}px`;
    box.scrollTop = 0;
    choose(order.length ? 0 : -1);
  }
  const address = (medium, sample) => {
    const media = data.media[medium], name = media && media.of[sample];
    return name ? media.before + name : "";
  };
  function row(place) {
    const sample = order[place];
    const thumbnail = address("image", sample);
    const picture = make("span", { className: "x-thumb" });
    if (thumbnail) picture.append(attributes(make("img", { src: thumbnail, alt: "", decoding: "async" }), {}));
    const figures = data.figures.slice(0, 2).map(figure =>
      make("span", {}, `${figure.name} `, make("b", { textContent: shown(figure.of[sample], figure.digits) })));
    const node = attributes(make("div", { className: "x-row", id: `x-row-${sample}` }, picture, make("span", { className: "x-about" },
      make("span", { className: "x-title", textContent: data.names[sample] }), make("span", { className: "x-figures" }, ...figures))), {
      role: "option", "aria-selected": String(place === current), "aria-setsize": order.length, "aria-posinset": place + 1 });
    node.style.top = `${place * ROW}px`;
    node.addEventListener("click", () => { choose(place); if (getComputedStyle(slot).display === "none") openLarge(); });
    node.addEventListener("dblclick", openLarge);
    return node;
  }
  function paint() {
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - SPARE);
    const last = Math.min(order.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + SPARE);
    const nodes = [];
    for (let place = first; place < last; place++) nodes.push(row(place));
    if (!order.length) nodes.push(make("p", { className: "x-none", textContent: "No picture fits these filters." }));
    rows.replaceChildren(...nodes);
    if (current >= 0) box.setAttribute("aria-activedescendant", `x-row-${order[current]}`);
    else box.removeAttribute("aria-activedescendant");
  }
  function choose(place) {
    current = place;
    picked = null;
    if (place >= 0) {
      const top = place * ROW, room = box.clientHeight || 6 * ROW;
      if (top < box.scrollTop) box.scrollTop = top;
      else if (top + ROW > box.scrollTop + room) box.scrollTop = top + ROW - room;
    }
    paint();
    draw();
  }
  const move = step => {
    if (order.length) choose(Math.min(order.length - 1, Math.max(0, current + step)));
  };

  // Drawing
  const polygons = text => text === "" ? [] : text.split(";").map(one => {
    const numbers = one.slice(1).split(" ").map(Number), points = [];
    let x = 0, y = 0;
    for (let i = 0; i + 1 < numbers.length; i += 2) points.push([(x += numbers[i]) / 10, (y += numbers[i + 1]) / 10]);
    return { kind: one[0], points };
  });
  const outline = points => `M${points.map(point => point.join(" ")).join("L")}Z`;
  function draw() {
    sheet.replaceChildren();
    facts.replaceChildren();
    notes.replaceChildren();
    pick.textContent = "";
    view.hidden = current < 0;
    if (current < 0) return;
    const sample = order[current], width = data.sizes[2 * sample], height = data.sizes[2 * sample + 1];
    title.textContent = data.names[sample];
    sheet.style.aspectRatio = `${width} / ${height}`;
    // As large as the room allows at zoom 1, in both directions; then scrolled.
    sheet.style.width = `calc(${zoom} * min(100%, var(--room) * ${(width / height).toFixed(4)}))`;
    data.layers.forEach((layer, l) => {
      const medium = layer.media && address(layer.media, sample);
      if (layer.kind !== "outline") {
        if (!on.get(layer.key) || !medium) return;
        const image = attributes(make("img", { src: medium, alt: layer.kind === "picture" ? data.names[sample] : "", decoding: "sync" }), {
          "data-layer": layer.key });
        if (layer.kind === "map") image.style.filter = `url(#x-map-${l})`;
        sheet.append(image);
      }
    });
    const svg = attributes(document.createElementNS(SVG, "svg"), { viewBox: `0 0 ${width} ${height}`, class: "x-outlines" });
    for (const layer of data.layers) {
      if (layer.kind !== "outline" || !on.get(layer.key) || !data.outlines[layer.key]) continue;
      const group = attributes(document.createElementNS(SVG, "g"), { "data-layer": layer.key });
      polygons(data.outlines[layer.key][sample]).forEach(({ kind, points }, p) => {
        const path = outline(points), style = data.kinds[kind];
        group.append(attributes(document.createElementNS(SVG, "path"), { d: path, class: "casing" }));
        const line = attributes(document.createElementNS(SVG, "path"), { d: path, class: style.dash ? "dashed" : "",
          stroke: style.color, "data-kind": kind });
        line.addEventListener("click", () => point(layer.key, p));
        group.append(line);
      });
      svg.append(group);
    }
    sheet.append(svg);
    data.layers.forEach(layer => {
      const there = layer.kind === "outline" ? Boolean(data.outlines[layer.key]) : Boolean(address(layer.media, sample));
      buttons.get(layer.key).disabled = !there;
    });
    const fact = (name, value) => facts.append(make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value })));
    for (const figure of data.figures) fact(figure.name, shown(figure.of[sample], figure.digits));
    for (const facet of data.facets) {
      const values = [facet.of[sample]].flat().sort((a, b) => a - b).map(value => facet.values[value]);
      if (values.length) fact(facet.name, values.join(", "));
    }
    for (const note of data.notes[sample] || []) notes.append(make("li", { textContent: note }));
  }
  function toggle(key) {
    on.set(key, !on.get(key));
    buttons.get(key).setAttribute("aria-pressed", String(on.get(key)));
    draw();
  }
  function magnify(factor) {
    zoom = Math.min(8, Math.max(1, zoom * factor));
    draw();
  }
  function point(key, p) {
    const group = sheet.querySelector(`g[data-layer="${key}"]`);
    if (!group) return;
    picked = [key, p];
    const lines = sheet.querySelectorAll("path:not(.casing)");
    for (const line of lines) line.classList.remove("picked");
    const line = group.querySelectorAll("path:not(.casing)")[p];
    line.classList.add("picked");
    const sample = order[current], words = (data.words[key] || [])[sample] || [];
    const kind = data.kinds[line.dataset.kind].name;
    pick.textContent = `outline ${p}, ${kind}${words[p] ? `: ${words[p]}` : ""}`;
    if (zoom > 1) line.scrollIntoView({ block: "center", inline: "center" });
  }
  function step(way) {
    const layers = data.layers.filter(layer => layer.kind === "outline" && on.get(layer.key));
    const key = picked && layers.some(layer => layer.key === picked[0]) ? picked[0] : layers.length ? layers[0].key : "";
    const many = key ? sheet.querySelectorAll(`g[data-layer="${key}"] path:not(.casing)`).length : 0;
    if (many) point(key, ((picked && picked[0] === key ? picked[1] : way < 0 ? 0 : -1) + way + many) % many);
  }
  function openLarge() {
    if (current < 0 || dialog.open) return;
    dialog.append(view);
    dialog.showModal();
    draw();
    stage.focus();
  }
  function clearFilters() {
    chosen.clear();
    search.value = "";
    for (const select of facets.querySelectorAll("select")) select.value = "-1";
    list();
  }

  // Events
  box.addEventListener("scroll", paint, { passive: true });  // comes once a frame
  let typing = 0;
  search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(list, 120); });
  sort.addEventListener("change", list);
  clear.addEventListener("click", clearFilters);
  addEventListener("resize", paint);
  const letters = new Map(data.layers.map(layer => [layer.letter, layer.key]));
  const always = { j: () => move(1), k: () => move(-1), x: clearFilters, "+": () => magnify(2), "=": () => magnify(2),
    "-": () => magnify(0.5), "[": () => step(-1), "]": () => step(1), "?": () => helper.showModal(),
    "/": () => { closeLarge(); search.focus(); } };
  const page = () => Math.max(1, Math.floor(box.clientHeight / ROW) - 1);
  const inList = { ArrowDown: () => move(1), ArrowUp: () => move(-1), Home: () => move(-count), End: () => move(count),
    PageDown: () => move(page()), PageUp: () => move(-page()), Enter: openLarge };
  const inLarge = { ArrowRight: () => move(1), ArrowLeft: () => move(-1) };
  addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && (helper.open || dialog.open)) {
      if (helper.open) helper.close();
      else closeLarge();
      event.preventDefault();
      return;
    }
    if (helper.open) return;
    const at = event.target;
    if (at === search) {
      if (event.key === "Escape" || event.key === "Enter") { box.focus(); event.preventDefault(); }
      return;
    }
    if (at instanceof HTMLSelectElement || at instanceof HTMLInputElement) return;
    let act = always[event.key] || (letters.has(event.key) ? () => toggle(letters.get(event.key)) : undefined);
    // Keys that scroll or press elsewhere keep doing so, unless the list or the large view has the focus.
    if (!act && at === box) act = inList[event.key];
    if (!act && dialog.open) act = inLarge[event.key];
    if (act) { act(); event.preventDefault(); }
  });
  list();
})();
