/* Copyright 2026 The modeling_llada authors.
   Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file. */

/* Plays a denoising: live while its pictures arrive, and again afterwards. cells.py makes the pictures.
   All text goes through textContent. Returns { update(value) }; a value has
     run        the name of the run; a new name starts a new denoising
     status     "running", "done" or "stopped"
     picture    the newest picture, from Picture.to_dict()
     recording  all pictures of a finished run, from recording_to_dict()
     cost, link, columns, title, label (the name of the settings), note
     no_link    why there is no link
     hidden     ranges of positions that are not drawn, such as what a chat template writes
     recorded   "opening" or "link" for a run that was made before: it plays once it is on the screen
     board      for a Sudoku: its size, its box (rows and columns), and the positions of its cells
   options: colors (the scale of the confidences), exports (names of formats), save (run, format) => Promise,
   links (whether to offer links), placeholder, pace, and group (players with the same group name play together). */
function LLaDAPlayer(root, options) {
  const SVG = "http://www.w3.org/2000/svg";
  const PACES = [["live", 0], ["fast", 45], ["calm", 110], ["slow", 320]];
  const groups = (window.LLaDAGroups ??= {});
  const group = options.group ? (groups[options.group] ??= []) : [];
  const state = { run: null, status: "empty", pictures: [], index: -1, playing: false, value: {}, timer: null };

  function make(tag, className, parent, attributes = {}) {
    const element = document.createElement(tag);
    element.className = className;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (parent) parent.append(element);
    return element;
  }

  function button(className, parent, label, title, action) {
    const element = make("button", className, parent, { type: "button", title, "aria-label": title });
    element.textContent = label;
    element.addEventListener("click", action);
    return element;
  }

  // --- the parts of the page -----------------------------------------------------------------------------------
  root.replaceChildren();
  const player = make("section", "ll-player", root, { "data-status": "empty", "data-step": "", "aria-label": "denoising" });
  const head = make("div", "ll-head", player);
  const title = make("span", "ll-title", head);
  const status = make("span", "ll-status", head, { role: "status" });  // read aloud when nothing moves
  const progress = make("div", "ll-progress", player);
  const filled = make("div", "ll-filled", progress);
  const frame = make("div", "ll-frame", player);
  const canvas = make("div", "ll-canvas", frame, {
    tabindex: "0", role: "group", "aria-label": "canvas: arrow keys, Home and End go from token to token",
  });
  const spoken = make("div", "ll-spoken", frame, { "aria-live": "polite" });  // the token that the arrow keys selected
  const controls = make("div", "ll-controls", player);
  const play = button("ll-play", controls, "▶", "play", togglePlay);
  const slider = make("input", "ll-slider", controls, { type: "range", min: "0", max: "0", value: "0", "aria-label": "denoising step" });
  slider.addEventListener("input", () => {
    const step = state.pictures[Number(slider.value)]?.step;
    for (const member of group) member.scrub(step);
  });
  const pace = make("select", "ll-pace", controls, { "aria-label": "pace", title: "pace of the drawing" });
  for (const [name] of PACES) make("option", "", pace).textContent = name;
  pace.value = options.pace || "calm";
  const draftsLabel = make("label", "ll-toggle", controls, { title: "what the model would write into the masks now" });
  const drafts = make("input", "", draftsLabel, { type: "checkbox" });
  drafts.checked = true;
  draftsLabel.append(" drafts");
  drafts.addEventListener("change", () => player.classList.toggle("ll-no-drafts", !drafts.checked));
  const bubble = make("div", "ll-bubble", player, { role: "tooltip" });  // on a narrow screen below the controls
  bubble.hidden = true;
  const cost = make("div", "ll-cost", player);
  const chart = make("div", "ll-chart", player);
  const legend = make("div", "ll-legend", player);
  const exports = make("div", "ll-exports", player);
  const note = make("div", "ll-note", player, { role: "alert" });
  drawLegend();
  drawExports();

  // --- cells ---------------------------------------------------------------------------------------------------
  const slots = [];
  const history = [];  // the costs of the runs of this player

  function color(confidence) {
    const stops = options.colors;
    const place = Math.min(Math.max(confidence ?? 1, 0), 1) * (stops.length - 1);
    const index = Math.min(Math.floor(place), stops.length - 2);
    const mixed = stops[index].map((low, part) => Math.round(low + (stops[index + 1][part] - low) * (place - index)));
    return `rgb(${mixed.join(" ")})`;
  }

  // Verse has a couplet in each row. A narrow player breaks it in the middle to keep its characters legible.
  function columnsThatFit() {
    const columns = state.value.columns;
    return columns >= 10 && columns % 2 === 0 && state.isNarrow ? columns / 2 : columns;
  }

  function fit() {
    const isNarrow = player.clientWidth > 0 ? player.clientWidth < 480 : state.isNarrow;
    const columns = player.style.getPropertyValue("--columns");
    state.isNarrow = isNarrow;
    player.classList.toggle("ll-narrow", Boolean(isNarrow));
    player.style.setProperty("--columns", columnsThatFit() || 24);
    if (state.pictures.length && columns !== player.style.getPropertyValue("--columns")) show(state.index);
  }

  function isLineEnd(cells, position) {
    if (cells[position].text.endsWith("\n")) return true;
    const columns = columnsThatFit();
    return Boolean(columns) && position >= state.start && (position - state.start + 1) % columns === 0;
  }

  // The cells of a board whose digit another cell of their row, column or box has too.
  function findConflicts({ cells }) {
    const { size, box: [height, width], positions } = state.value.board;
    const shares = (a, b) => {
      const [row, column, otherRow, otherColumn] = [Math.floor(a / size), a % size, Math.floor(b / size), b % size];
      const isSameBox = Math.floor(row / height) === Math.floor(otherRow / height) && Math.floor(column / width) === Math.floor(otherColumn / width);
      return a !== b && (row === otherRow || column === otherColumn || isSameBox);
    };
    const text = (place) => cells[positions[place]].text;
    return new Set(positions.filter((_, a) => text(a) && positions.some((_, b) => shares(a, b) && text(a) === text(b))));
  }

  function drawBoard(picture) {
    const { board } = state.value;
    canvas.classList.toggle("ll-board", Boolean(board));
    if (!board) return;
    const conflicts = findConflicts(picture);
    canvas.style.setProperty("--size", board.size);
    slots.forEach(({ element, box }, position) => {
      const place = board.positions.indexOf(position), row = Math.floor(place / board.size), column = place % board.size;
      element.hidden = place < 0;
      box.classList.toggle("ll-conflict", conflicts.has(position));
      element.classList.toggle("ll-top", row % board.box[0] === 0);
      element.classList.toggle("ll-left", column % board.box[1] === 0);
    });
  }

  function drawCell(slot, cell, joins, isBreak, isHeader) {
    const isMask = cell.state === "mask";
    const isDraft = isMask && cell.is_active && cell.best.length > 0;
    const kinds = ["ll-cell", `ll-${cell.state}`];
    if (cell.is_active) kinds.push("ll-active");
    if (cell.is_end) kinds.push("ll-end");
    else if (cell.is_special) kinds.push("ll-special");
    if (isDraft) kinds.push("ll-draft");
    if (isHeader) kinds.push("ll-header");
    if (cell.word !== null) kinds.push("ll-letters");
    const isEnd = cell.is_end || (isDraft && cell.best[0] === state.end);
    const text = isEnd ? "EOS" : isDraft ? cell.best[0] : cell.word === null ? cell.text : cell.text.trim();
    const shown = text.replace(/\n/g, cell.state === "given" ? "" : "↵");
    const className = kinds.join(" ");
    const key = `${className}|${shown}|${cell.confidence}|${joins}|${isBreak}`;
    if (slot.key === key) return;
    slot.key = key;
    slot.box.className = className;
    slot.text.textContent = shown === "" && cell.state === "pad" ? "·" : shown;
    slot.box.style.setProperty("--confidence", cell.confidence ?? 0);
    slot.box.style.setProperty("--color", color(cell.confidence));
    slot.element.classList.toggle("ll-joins", joins);
    slot.element.classList.toggle("ll-break", isBreak);
  }

  function drawCanvas(picture) {
    while (slots.length > picture.cells.length) slots.pop().element.remove();
    while (slots.length < picture.cells.length) {
      const element = make("span", "ll-slot", canvas);
      const box = make("span", "ll-cell", element);
      const slot = { element, box, text: make("span", "ll-text", box), key: null };
      const position = slots.length;
      box.addEventListener("mouseenter", () => describe(position));
      box.addEventListener("click", () => describe(position));
      slots.push(slot);
    }
    state.end = picture.cells.find((cell) => cell.is_end)?.text ?? state.end;
    const hidden = state.value.hidden || [];
    picture.cells.forEach((cell, position) => {
      slots[position].element.hidden = hidden.some(([from, to]) => from <= position && position < to);
      const joins = cell.word !== null && position > cell.word;
      drawCell(slots[position], cell, joins, isLineEnd(picture.cells, position), Boolean(state.value.columns) && position < state.start);
    });
  }

  // --- one picture ---------------------------------------------------------------------------------------------
  function show(index) {
    if (!state.pictures.length) return clear();
    state.index = Math.min(Math.max(index, 0), state.pictures.length - 1);
    const picture = state.pictures[state.index];
    drawCanvas(picture);
    drawBoard(picture);
    const masks = picture.cells.filter((cell) => cell.state === "mask").length;
    const all = state.pictures[0].cells.filter((cell) => cell.state === "mask").length;
    filled.style.width = `${all ? (100 * (all - masks)) / all : 100}%`;
    slider.max = state.pictures.length - 1;
    slider.value = state.index;
    slider.setAttribute("aria-valuetext", `step ${picture.step + 1}`);
    player.dataset.step = picture.step + 1;
    player.dataset.frame = state.index;
    player.dataset.run = state.run;
    player.dataset.status = shownStatus();
    player.dataset.text = picture.cells.map((cell) => (cell.is_special ? "" : cell.text)).join("");
    status.setAttribute("aria-live", state.playing ? "off" : "polite");
    status.textContent = describeStatus(picture, masks);
    drawChart(picture.step);
    if (selected !== null) describe(selected);
  }

  function shownStatus() {
    return state.status === "done" && state.index < state.pictures.length - 1 && state.isFollowing ? "running" : state.status;
  }

  function describeStatus(picture, masks) {
    const where = `step ${picture.step + 1}`;
    const left = masks === 1 ? "1 mask left" : `${masks} masks left`;
    if (shownStatus() === "stopped" && state.index === state.pictures.length - 1) return `stopped at ${where} · ${left}`;
    if (masks === 0) return `${where} · done`;
    return picture.step < 0 ? `start · ${masks} masks` : `${where} · ${left}`;
  }

  function clear() {
    slots.splice(0).forEach((slot) => slot.element.remove());
    canvas.replaceChildren();
    canvas.classList.remove("ll-board");
    player.dataset.status = "empty";
    make("span", "ll-placeholder", canvas).textContent = options.placeholder || "";
    for (const part of [chart, cost]) part.replaceChildren();
    title.textContent = status.textContent = "";
  }

  // --- the details of a token --------------------------------------------------------------------------------------
  let selected = null;

  function line(className, text) {
    make("div", className, bubble).textContent = text;
  }

  function describe(position) {
    const picture = state.pictures[state.index];
    const cell = picture && picture.cells[position];
    if (!cell) return hideBubble();
    selected = position;
    slots.forEach((slot, other) => slot.box.classList.toggle("ll-selected", other === position));
    bubble.replaceChildren();
    const committed = `committed at step ${cell.step + 1}`;
    const pad = cell.step === null ? "pad" : `behind the end, ${committed}`;
    const names = { given: "given", mask: cell.is_active ? "mask of the active block" : "mask", pad };
    const name = names[cell.state] || committed;
    line("ll-bubble-text", cell.is_end ? "EOS" : (cell.text || "▒").replace(/\n/g, "↵"));
    line("ll-bubble-line", `${name} · position ${position + 1}`);
    if (cell.confidence !== null) line("ll-bubble-line", `confidence ${cell.confidence.toFixed(3)}`);
    const rivals = cell.best
      .map((text, index) => ({ text, probability: cell.probabilities?.[index] }))
      .filter(({ text }) => text !== cell.text || cell.state === "mask");
    const quoted = rivals.map(quote).join("  ");
    if (rivals.length) line("ll-bubble-line", `${cell.state === "mask" ? "would write" : "runners-up"}: ${quoted}`);
    bubble.hidden = false;
    const box = slots[position].box, area = player.getBoundingClientRect(), place = box.getBoundingClientRect();
    const left = place.left - area.left + place.width / 2 - bubble.offsetWidth / 2;
    bubble.style.left = `${Math.min(Math.max(left, 4), area.width - bubble.offsetWidth - 4)}px`;
    bubble.style.top = `${place.bottom - area.top + 7}px`;
  }

  function quote({ text, probability }) {
    const shown = text === "" ? "∅" : text.replace(/\n/g, "↵");
    if (probability === undefined) return shown;
    return `${shown} ${probability < 0.0005 ? "<0.001" : probability.toFixed(3)}`;
  }

  function hideBubble() {
    selected = null;
    bubble.hidden = true;
    slots.forEach((slot) => slot.box.classList.remove("ll-selected"));
  }

  canvas.addEventListener("mouseleave", hideBubble);
  // In a narrow player, hiding it would move the button that takes the focus away from the pointer.
  canvas.addEventListener("blur", () => state.isNarrow || hideBubble());
  canvas.addEventListener("keydown", (event) => {
    const shown = [...slots.keys()].filter((position) => slots[position].box.offsetParent);
    const moves = { ArrowRight: 1, ArrowLeft: -1, Home: -shown.length, End: shown.length };
    if (event.key === "Escape") return hideBubble();
    if (event.key === " ") { event.preventDefault(); return togglePlay(); }
    if (!(event.key in moves) || !shown.length) return;
    event.preventDefault();
    describe(shown[Math.min(Math.max(shown.indexOf(selected) + moves[event.key], 0), shown.length - 1)]);
    spoken.textContent = [...bubble.children].map((part) => part.textContent).join(", ");
  });

  // --- time ----------------------------------------------------------------------------------------------------
  function interval() {
    const wanted = PACES.find(([name]) => name === pace.value)[1];
    const behind = state.pictures.length - 1 - state.index;
    return state.status === "running" || state.isFollowing ? wanted / Math.max(1, behind / 24) : wanted;
  }

  function tick() {
    state.timer = null;
    if (!state.playing) return;
    if (state.index < state.pictures.length - 1) show(state.index + 1);
    if (state.index < state.pictures.length - 1) state.timer = setTimeout(tick, interval());
    else if (state.status !== "running") finish();
  }

  function resume() {
    state.playing = true;
    play.textContent = "❚❚";
    play.title = "pause";
    play.setAttribute("aria-label", "pause");
    if (state.timer === null) state.timer = setTimeout(tick, Math.min(interval(), 60));
  }

  function pause() {
    state.playing = state.isFollowing = false;
    clearTimeout(state.timer);
    state.timer = null;
    play.textContent = "▶";
    play.title = "play";
    play.setAttribute("aria-label", "play");
  }

  function finish() {
    pause();
    if (state.pictures.length) show(state.index);
    drawCost();
  }

  function togglePlay() {
    const isPlaying = state.playing;
    for (const member of group) isPlaying ? member.pause() : member.replay();
  }

  function replay() {
    if (!state.pictures.length) return;
    if (state.index >= state.pictures.length - 1) show(0);
    resume();
  }

  function scrub(step) {
    pause();
    const later = state.pictures.findIndex((picture) => picture.step > step);
    show(later < 0 ? state.pictures.length - 1 : later - 1);
  }

  // --- cost, chart, legend, exports ----------------------------------------------------------------------------
  function drawCost() {
    cost.replaceChildren();
    for (const [value, name] of state.value.cost || []) {
      const chip = make("span", "ll-chip", cost);
      make("b", "", chip).textContent = value;
      chip.append(` ${name}`);
    }
    if (state.status === "done" && state.value.label && !state.value.recorded && history.every(({ run }) => run !== state.run)) {
      history.push({ run: state.run, label: state.value.label, cost: state.value.cost });
      if (history.length > 6) history.shift();
    }
    if (history.length > 1) drawHistory();
  }

  function drawHistory() {
    const table = make("table", "ll-history", cost);
    const titles = make("tr", "", make("thead", "", table));
    const names = [...history].sort((a, b) => b.cost.length - a.cost.length)[0].cost.map(([, name]) => name);
    for (const name of ["your runs", ...names]) make("th", "", titles, { scope: "col" }).textContent = name;
    const body = make("tbody", "", table);
    for (const { run, label, cost: pairs } of history) {
      const row = make("tr", run === state.run ? "ll-this" : "", body);
      for (const text of [label, ...pairs.map(([value]) => value)]) make("td", "", row).textContent = text;
    }
  }

  function svg(tag, attributes, parent) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (parent) parent.append(element);
    return element;
  }

  function drawChart(step) {
    const last = state.pictures[state.pictures.length - 1];
    const dots = last.cells.map((cell, position) => ({ cell, position })).filter(({ cell }) => cell.step !== null);
    if (!dots.length) return chart.replaceChildren();
    const first = state.pictures[0].cells.findIndex((cell) => cell.state === "mask");
    const steps = Math.max(...dots.map(({ cell }) => cell.step)) + 1;
    const count = last.cells.length - first;
    const width = 640, height = 132, left = 34, top = 10, right = 8, bottom = 22;
    const x = (position) => left + ((position - first + 0.5) / count) * (width - left - right);
    const y = (at) => height - bottom - ((at + 0.5) / steps) * (height - top - bottom);
    const label = `order of commits: ${dots.length} tokens in ${steps} steps`;
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    svg("path", { class: "ll-axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }, picture);
    const texts = [
      [left - 6, y(0) + 4, "1", "end"], [left - 6, y(steps - 1) + 4, steps > 1 ? String(steps) : "", "end"],
      [left, height - 6, "position", "start"], [width - right, height - 6, String(last.cells.length), "end"],
    ];
    for (const [tx, ty, text, anchor] of texts) {
      svg("text", { x: tx, y: ty, "text-anchor": anchor }, picture).textContent = text;
    }
    const name = svg("text", { x: 9, y: (top + height - bottom) / 2, "text-anchor": "middle" }, picture);
    name.setAttribute("transform", `rotate(-90 9 ${(top + height - bottom) / 2})`);
    name.textContent = "step";
    if (step >= 0 && step < steps) {
      svg("line", { class: "ll-now", x1: left, x2: width - right, y1: y(step), y2: y(step) }, picture);
    }
    const radius = Math.max(1.8, Math.min(5, 0.42 * ((width - left - right) / count), 200 / steps));
    for (const { cell, position } of dots) {
      const dot = svg("circle", { cx: x(position), cy: y(cell.step), r: radius, fill: color(cell.confidence) }, picture);
      dot.classList.toggle("ll-tail", cell.state === "pad");
      dot.classList.toggle("ll-later", cell.step > step);
      const text = cell.state === "pad" ? "behind the end" : cell.is_end ? "EOS" : cell.text;
      svg("title", {}, dot).textContent = `${text}: step ${cell.step + 1}`;
    }
    chart.replaceChildren(picture);
  }

  function drawLegend() {
    const entry = (className, text) => {
      const item = make("span", "ll-key", legend);
      make("i", className, item);
      item.append(text);
    };
    entry("ll-key-mask", "mask");
    entry("ll-key-active", "active block");
    const scale = make("span", "ll-key", legend);
    scale.append("confidence 0 ");
    make("i", "ll-key-scale", scale).style.background =
      `linear-gradient(90deg, ${options.colors.map((stop) => `rgb(${stop.join(" ")})`).join(", ")})`;
    scale.append(" 1");
    entry("ll-key-end", "end of text");
  }

  function drawExports() {
    for (const [format, label, help] of options.exports || []) {
      button("ll-export", exports, label, help, () => exportAs(format));
    }
    if (options.links) button("ll-export", exports, "Copy link", "a link that shows this run", copyLink);
  }

  function say(text) {
    note.textContent = text;
  }

  async function exportAs(format) {
    if (!state.run || state.status === "running") return say("Wait for the end of the run, or stop it first.");
    say("…");
    try {
      const file = await options.save(state.run, format);
      if (file.error) return say(file.error);
      const bytes = Uint8Array.from(atob(file.data), (character) => character.charCodeAt(0));
      const link = make("a", "", document.body, { download: file.name });
      link.href = URL.createObjectURL(new Blob([bytes], { type: file.type }));
      link.click();
      setTimeout(() => { URL.revokeObjectURL(link.href); link.remove(); }, 10000);
      say(`${file.name}, ${Math.ceil(bytes.length / 1024)} KB`);
    } catch (error) {
      say(`The export failed: ${error.message || error}`);
    }
  }

  async function copyLink() {
    if (!state.value.link) return say(state.value.no_link || "Run something first: the link shows it.");
    const link = location.origin + location.pathname + state.value.link;
    window.history.replaceState(null, "", state.value.link);
    try {
      await navigator.clipboard.writeText(link);
      say("The link is in the clipboard.");
    } catch {
      say(link);
    }
  }

  // --- updates -------------------------------------------------------------------------------------------------
  function expand(recording) {
    const pictures = [{ step: -1, is_final: false, cells: recording.cells }];
    for (const { step, is_final, changes } of recording.frames) {
      const cells = pictures[pictures.length - 1].cells.slice();
      for (const [position, cell] of changes) cells[position] = cell;
      pictures.push({ step, is_final, cells });
    }
    return pictures;
  }

  function begin(value) {
    pause();
    hideBubble();
    say("");
    canvas.replaceChildren();
    slots.splice(0);
    cost.replaceChildren();
    chart.replaceChildren();
    Object.assign(state, { run: value.run, status: "running", pictures: [], index: -1, isFollowing: true });
  }

  function findStart(cells) {
    const masks = cells.findIndex((cell) => cell.state === "mask");
    const until = masks < 0 ? cells.length : masks;
    for (let position = until - 1; position >= 0; position--) {
      if (cells[position].text.endsWith("\n")) return position + 1;
    }
    return 0;
  }

  function update(value) {
    if (!value || !value.run) {
      pause();
      Object.assign(state, { run: null, status: "empty", pictures: [], index: -1, value: {} });
      return clear();
    }
    if (value.run !== state.run) begin(value);
    else if (state.status !== "running") return;
    state.value = value;
    if (value.note) say(value.note);
    title.textContent = value.title || "";
    fit();
    player.classList.toggle("ll-poem", Boolean(value.columns));
    if (value.recording) {
      const shown = state.index < 0 ? null : state.pictures[state.index];
      state.pictures = expand(value.recording);
      state.index = shown ? state.pictures.findIndex((picture) => picture.step >= shown.step) : -1;
    } else if (value.picture) {
      state.pictures.push(value.picture);
    }
    if (state.pictures.length) state.start = findStart(state.pictures[0].cells);
    state.status = value.status;
    if (value.status === "stopped") {
      show(state.pictures.length - 1);
      return finish();
    }
    if (state.index < 0) {
      show(0);
      if (window.innerWidth < 768 && player.offsetParent && value.recorded !== "opening") frame.scrollIntoView({ block: "nearest", behavior: "smooth" });
    }
    if (value.status === "done" && !state.isFollowing) return finish();
    if (!state.isFollowing) return;
    if (value.recorded && value.status === "done") whenSeen(resume);
    else resume();
  }

  function whenSeen(action) {
    const watcher = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      if (state.isFollowing) action();
    });
    watcher.observe(canvas);
  }

  clear();
  new ResizeObserver(fit).observe(player);
  group.push({ pause, replay, scrub });
  return { update };
}
