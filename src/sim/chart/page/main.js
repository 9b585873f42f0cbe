// What the page is showing, and what the reader does to it.

const stage = document.getElementById("stage");
const canvas = document.getElementById("canvas");
const lanes = document.getElementById("lanes");
const filter = document.getElementById("filter");

const state = {
  plan: null,
  grid: null,
  selected: null,
  hiddenKinds: new Set(),
  hiddenLanes: new Set(),
  words: [],
  table: false,
  tableFrom: 0,
  viewWidth: 0,
  /** The heights between which the chart is drawn. */
  drawn: [0, 0],
  stripScale: 1,
};

function isShown(event) {
  if (state.hiddenKinds.has(event.kind)) return false;
  const lane = event.wire !== null && event.lane === SERVER ? event.link.host : event.lane;
  if (lane !== ALL && state.hiddenLanes.has(lane)) return false;
  if (state.words.length === 0) return true;
  const hay = haystack(event);
  return state.words.every((word) => hay.includes(word));
}

/** Lays all out anew: after a change of what is shown, or of the size. */
function refresh() {
  const anchor = state.selected !== null && state.selected.y !== undefined ? state.selected : firstInView();
  const offset = anchor === null ? 0 : anchor.y - stage.scrollTop;
  const shown = events.filter(isShown);
  for (const event of events) event.y = undefined;
  state.plan = layOut(shown);
  forgetStrip();
  count();
  resize();
  if (state.table) drawTable(shown);
  // What was looked at stays where it was, if it is still there.
  if (anchor !== null && anchor.y !== undefined) stage.scrollTop = anchor.y - offset;
  render(true);
}

function firstInView() {
  if (state.plan === null) return null;
  return state.plan.shown.find((event) => event.y >= stage.scrollTop) ?? null;
}

function count() {
  const shown = state.plan.shown.length;
  const text = shown === events.length ? `${shown} events` : `${shown} of ${events.length} events`;
  document.getElementById("count").textContent = text;
}

function resize() {
  state.viewWidth = stage.clientWidth;
  state.grid = columns(stage.clientWidth);
  canvas.style.width = `${state.grid.width}px`;
  lanes.style.width = `${state.grid.width}px`;
  canvas.style.height = `${state.plan.height}px`;
}

/** Draws what is in view, unless that was drawn already. */
function render(force = false) {
  const { plan, grid } = state;
  const top = stage.scrollTop;
  const view = stage.clientHeight;
  lanes.replaceChildren(drawLanes(plan, grid, top));
  if (force || top < state.drawn[0] || top + view > state.drawn[1]) {
    const from = Math.max(0, Math.floor(top - view));
    const to = Math.min(Math.max(plan.height, view - 42), Math.ceil(top + 2 * view));
    state.drawn = [from === 0 ? -1 : from, to >= plan.height ? Infinity : to];
    canvas.replaceChildren(drawBand(plan, grid, from, to));
  }
  drawStrip();
}

let due = false;
stage.addEventListener("scroll", () => {
  hideTip();
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    render();
  });
}, { passive: true });

new ResizeObserver(() => {
  if (state.plan !== null && !stage.hidden && stage.clientWidth > 0) {
    resize();
    render(true);
  }
}).observe(stage);

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  forgetStrip();
  drawStrip();
});

/** Selects an event, or none, and brings it into view. */
function select(event, bring = true) {
  state.selected = event;
  hideTip();
  for (const old of canvas.querySelectorAll(".selected")) old.classList.remove("selected");
  if (event === null) {
    showLegend();
    history.replaceState(null, "", location.pathname + location.search);
  } else {
    showEvent(event);
    history.replaceState(null, "", `#e${event.index}`);
    if (event.y === undefined) unfilter();
    if (state.table) showRow(event);
    else if (bring) reveal(event);
    canvas.querySelector(`g.item[data-index="${event.index}"]`)?.classList.add("selected");
    document.getElementById("status").textContent = statusText();
  }
  drawStrip();
}

/** Somebody asked for an event that is not shown: it has to be. */
function unfilter() {
  filter.value = "";
  state.words = [];
  state.hiddenKinds.clear();
  state.hiddenLanes.clear();
  chips();
  refresh();
}

function reveal(event) {
  const margin = Math.min(120, stage.clientHeight / 4);
  const top = event.y - stage.scrollTop;
  if (top < 60 || top > stage.clientHeight - margin - 40) {
    stage.scrollTop = event.y - stage.clientHeight / 3;
  }
  render();
}

/** The next event shown, or the one before, of some kind. */
function move(step, kind = null) {
  const { shown } = state.plan;
  const candidates = kind === null ? shown : shown.filter((event) => event.kind === kind);
  if (candidates.length === 0) return;
  if (state.selected === null) {
    const first = step > 0 ? candidates.find((event) => kind !== null || event.y >= stage.scrollTop) : candidates[candidates.length - 1];
    select(first ?? candidates[0]);
    return;
  }
  const at = state.selected.index;
  const next = step > 0
    ? candidates.find((event) => event.index > at) ?? (kind === null ? null : candidates[0])
    : candidates.findLast((event) => event.index < at) ?? (kind === null ? null : candidates[candidates.length - 1]);
  if (next !== null) select(next);
}

function eventAt(node) {
  const holder = node instanceof Element ? node.closest("[data-index]") : null;
  return holder === null ? null : events[Number(holder.getAttribute("data-index"))];
}

canvas.addEventListener("click", (click) => {
  const event = eventAt(click.target);
  if (event !== null) select(event, false);
});
canvas.addEventListener("pointermove", (pointer) => {
  const event = eventAt(pointer.target);
  if (event === null) hideTip();
  else showTip(event, pointer.clientX, pointer.clientY);
});
canvas.addEventListener("pointerleave", hideTip);
tableBox.addEventListener("click", (click) => {
  const event = eventAt(click.target);
  if (event === null) return;
  click.preventDefault();
  select(event);
});

function showTable(on) {
  state.table = on;
  stage.hidden = on;
  strip.hidden = on;
  tableBox.hidden = !on;
  document.getElementById("view-chart").setAttribute("aria-pressed", String(!on));
  document.getElementById("view-table").setAttribute("aria-pressed", String(on));
  if (on) {
    drawTable(state.plan.shown);
    if (state.selected !== null) showRow(state.selected);
    tableBox.focus({ preventScroll: true });
  } else {
    resize();
    render(true);
    if (state.selected !== null) reveal(state.selected);
    stage.focus({ preventScroll: true });
  }
}
document.getElementById("view-chart").addEventListener("click", () => showTable(false));
document.getElementById("view-table").addEventListener("click", () => showTable(true));

let typing = 0;
filter.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(applyFilter, events.length > 2000 ? 150 : 0);
});
function applyFilter() {
  state.words = filter.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
  state.tableFrom = 0;
  refresh();
}

/** A chip for each kind that occurs and each lifeline: pressed is shown. */
function chips() {
  const make = (set, key, label, ...before) => {
    const chip = element("button", { type: "button", "aria-pressed": String(!set.has(key)) }, ...before, label);
    chip.addEventListener("click", () => {
      if (set.has(key)) set.delete(key);
      else set.add(key);
      chip.setAttribute("aria-pressed", String(!set.has(key)));
      refresh();
    });
    return chip;
  };
  const present = data.kinds.filter((kind) => events.some((event) => event.kind === kind));
  document.getElementById("chips-kinds").replaceChildren(...present.map((kind) => make(state.hiddenKinds, kind, kind, picture(kind))));
  document.getElementById("chips-hosts").replaceChildren(
    ...[...data.hosts.keys(), SERVER].slice(0, 24).map((lane) => make(state.hiddenLanes, lane, laneName(lane))));
}

document.addEventListener("keydown", (key) => {
  if (key.ctrlKey || key.metaKey || key.altKey) return;
  if (key.target === filter) {
    if (key.key === "Escape" || key.key === "Enter") {
      if (key.key === "Escape") {
        filter.value = "";
        applyFilter();
      }
      (state.table ? tableBox : stage).focus({ preventScroll: true });
      key.preventDefault();
    }
    return;
  }
  const actions = {
    j: () => move(1),
    k: () => move(-1),
    n: () => move(1, "violation"),
    N: () => move(-1, "violation"),
    f: () => move(1, "fault"),
    F: () => move(-1, "fault"),
    t: () => showTable(!state.table),
    g: () => { stage.scrollTop = 0; },
    G: () => { stage.scrollTop = stage.scrollHeight; },
    "/": () => { filter.focus(); filter.select(); },
    Escape: () => {
      if (state.selected !== null) select(null);
      else if (filter.value !== "") { filter.value = ""; applyFilter(); }
    },
  };
  const action = Object.hasOwn(actions, key.key) ? actions[key.key] : undefined;
  if (action === undefined) return;
  key.preventDefault();
  action();
});

/** Links to events, from the list of broken rules or from elsewhere. */
function follow() {
  const found = /^#e(\d+)$/.exec(location.hash);
  const event = found === null ? undefined : events[Number(found[1])];
  if (event !== undefined) select(event);
}
addEventListener("hashchange", follow);

function statusText() {
  const broken = events.filter((event) => event.kind === "violation").length;
  return broken === 0 ? "✓ No rule broken" : `⬣ ${broken} ${broken === 1 ? "rule" : "rules"} broken`;
}

// On paper a short run is the chart in full, a long one the table.
addEventListener("beforeprint", () => {
  if (state.plan.height <= 12000) canvas.replaceChildren(drawBand(state.plan, state.grid, 0, state.plan.height));
  else if (!state.table) {
    drawTable(state.plan.shown);
    stage.hidden = true;
    tableBox.hidden = false;
  }
});
addEventListener("afterprint", () => {
  stage.hidden = state.table;
  tableBox.hidden = !state.table;
  if (!state.table) render(true);
});

const status = document.getElementById("status");
status.textContent = statusText();
status.classList.add(events.some((event) => event.kind === "violation") ? "bad" : "good");
chips();
showLegend();
refresh();
follow();
