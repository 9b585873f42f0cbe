// Draws the part of the chart that is in view, and a bit around it, as SVG.

const ruler = document.createElement("canvas").getContext("2d");
ruler.font = `12px ${getComputedStyle(document.body).fontFamily}`;
const widths = new Map();

/** As much of a text as fits. */
function fit(text, width) {
  if (text.length * 12 < width) return text;
  const measure = (part) => {
    if (!widths.has(part)) {
      if (widths.size > 20000) widths.clear();
      widths.set(part, ruler.measureText(part).width);
    }
    return widths.get(part);
  };
  if (measure(text) <= width) return text;
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (ruler.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  // Not through the middle of a character beyond the basic plane.
  if (/[\ud800-\udbff]/.test(text.charAt(low - 1))) low -= 1;
  return `${text.slice(0, low).trimEnd()}…`;
}

/** The sign of a kind, around the origin. Kinds differ in shape, not in colour alone. */
function glyph(kind) {
  const solid = (d) => shape("path", { d, class: "solid" });
  const open = (d) => shape("path", { d });
  switch (kind) {
    case "asked": return [solid("M-5-5 L5 0 L-5 5 Z")];
    case "told": return [open("M5-4.5 L-4 0 L5 4.5 Z")];
    case "kept": return [open("M-4-4 H4 V4 H-4 Z"), open("M-1.5-1 H1.5")];
    case "note": return [solid("M0-5.5 L5.5 0 L0 5.5 L-5.5 0 Z")];
    case "link": return [open("M-4 0 A4 4 0 1 1 4 0 A4 4 0 1 1 -4 0 Z")];
    case "process": return [solid("M-4.5 0 A4.5 4.5 0 1 1 4.5 0 A4.5 4.5 0 1 1 -4.5 0 Z")];
    case "fault": return [solid("M0-7 L7 6 H-7 Z")];
    case "healed": return [open("M-6 0 L-2 4.5 L6-5")];
    case "violation": return [solid("M-3-7 H3 L7-3 V3 L3 7 H-3 L-7 3 V-3 Z")];
    default: return arrow(-14, 0, 14, 0, kind);
  }
}

/** A glyph as a picture of its own, for legends and lists. */
function picture(kind) {
  const wide = kindsOfWire.has(kind);
  const box = wide ? "-17 -8 34 16" : "-8 -8 16 16";
  return shape("svg", { viewBox: box, width: wide ? 34 : 16, height: 16, class: `glyph k-${kind}`, "aria-hidden": "true" }, ...glyph(kind));
}

const kindsOfWire = new Set(["message", "presence", "iq", "nonza", "stream", "bytes"]);

/** A shaft and its head. Stanzas have full heads, all else open ones. */
function arrow(x1, y1, x2, y2, kind) {
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
  const at = (back, aside) => `${round(x2 - ux * back - uy * aside)} ${round(y2 - uy * back + ux * aside)}`;
  const full = kind === "message" || kind === "presence" || kind === "iq";
  const head = full
    ? shape("path", { class: "solid", d: `M${at(0, 0)} L${at(9, 4)} L${at(9, -4)} Z` })
    : shape("path", { d: `M${at(7, 4)} L${at(0, 0)} L${at(7, -4)}` });
  return [shape("line", { class: "shaft", x1: round(x1), y1: round(y1), x2: round(x2), y2: round(y2) }), head];
}

function round(number) {
  return Math.round(number * 10) / 10;
}

/** One event. */
function draw(event, grid, plan) {
  const group = shape("g", { class: `item k-${event.kind}${event === state.selected ? " selected" : ""}`, "data-index": event.index });
  if (event.lane === ALL) drawAcross(group, event, grid);
  else if (event.wire !== null) drawArrow(group, event, grid);
  else drawMark(group, event, grid);
  return group;
}

/** Violations and the healing go across all lanes. */
function drawAcross(group, event, grid) {
  const { y } = event;
  const from = AXIS - 10;
  const text = event.kind === "violation" ? `${event.label}: ${visible(event.detail)}` : event.label;
  group.append(
    shape("rect", { class: `band ${event.kind}`, x: from, y: y - ROW / 2, width: grid.width - from, height: ROW }),
    shape("rect", { class: "hit", x: from, y: y - ROW / 2, width: grid.width - from, height: ROW }),
    shape("g", { transform: `translate(${AXIS + 6} ${y})` }, ...glyph(event.kind)),
    shape("text", { class: "halo", x: AXIS + 22, y: y + 4, text: fit(text, (state.viewWidth - AXIS - 60) * 0.92) }),
  );
}

/** Something at one lifeline: hosts to the left of theirs, the server to the right. */
function drawMark(group, event, grid) {
  const x = grid.of(event.lane);
  const { y } = event;
  const right = event.lane === SERVER;
  const room = right ? grid.side - 30 : event.lane === 0 ? grid.side - 22 : Math.max(grid.spacing - 40, 230);
  // Bold is broader than what the ruler measures.
  const label = fit(event.label, event.kind === "fault" ? room * 0.92 : room);
  const width = Math.min(room, ruler.measureText(label).width) + 34;
  group.append(
    shape("rect", { class: "hit", x: right ? x - 10 : x + 10 - width, y: y - ROW / 2 + 1, width, height: ROW - 2, rx: 4 }),
    shape("g", { transform: `translate(${x} ${y})` }, shape("circle", { r: 8, fill: "var(--paper)" }), ...glyph(event.kind)),
    shape("text", { class: "halo", x: right ? x + 16 : x - 16, y: y + 4, "text-anchor": right ? "start" : "end", text: label }),
  );
}

/** Something on the wire, from when it was written to when it was read. */
function drawArrow(group, event, grid) {
  const x1 = grid.port(event.lane);
  const x2 = grid.port(target(event));
  const { y, yEnd } = event;
  const toRight = x2 > x1;
  const sign = toRight ? 1 : -1;
  // In its own row it may well reach beyond a lane that is near.
  const label = fit(event.label, Math.min(Math.max(Math.abs(x2 - x1) - 36, 250), 420));
  const width = ruler.measureText(label).width + 20;
  const what = fate(event);
  group.append(shape("rect", { class: "hit", x: toRight ? x1 : x1 - width, y: y - ROW + 5, width, height: ROW - 4, rx: 4 }));
  if (what === "read") {
    // A broad invisible line is easier to hit.
    group.append(...arrow(x1, y, x2, yEnd, event.kind));
  } else {
    const reach = x1 + sign * Math.min(Math.abs(x2 - x1) * 0.55, 190);
    const low = y + 12;
    const shaft = shape("line", { class: what === "lost" ? "shaft" : "late", x1, y1: y, x2: reach, y2: low });
    group.append(shaft);
    if (what === "lost") {
      group.append(shape("path", { class: "lost", d: `M${reach - 5} ${low - 5} L${reach + 5} ${low + 5} M${reach - 5} ${low + 5} L${reach + 5} ${low - 5}` }));
    }
  }
  group.append(shape("text", { class: "halo", x: x1 + sign * 8, y: y - 5, "text-anchor": toRight ? "start" : "end", text: label }));
}

/** All that lies between two heights. */
function drawBand(plan, grid, from, to) {
  const svg = shape("svg", { width: grid.width, height: to - from, viewBox: `0 ${from} ${grid.width} ${to - from}` });
  svg.style.top = `${from}px`;
  drawSpans(svg, plan, grid, from, to);
  drawRails(svg, plan, grid, from, to);
  drawLinks(svg, plan, grid, from, to);
  for (const gap of plan.breaks) {
    if (gap.y > from - BREAK && gap.y < to + BREAK) drawBreak(svg, gap, grid);
  }
  for (const time of plan.times) {
    if (time.y < from - ROW || time.y > to + ROW) continue;
    svg.append(
      shape("line", { class: "grid", x1: AXIS - 12, x2: AXIS - 6, y1: time.y, y2: time.y }),
      shape("text", { class: "time", x: AXIS - 18, y: time.y + 4, "text-anchor": "end", text: time.text }),
    );
  }
  const seen = new Set();
  const groups = [];
  for (let i = Math.floor(from / BUCKET); i <= Math.floor(to / BUCKET); i += 1) {
    for (const event of plan.buckets[i] ?? []) {
      if (seen.has(event)) continue;
      seen.add(event);
      groups.push(event);
    }
  }
  // Bands lie beneath everything else.
  groups.sort((a, b) => (b.lane === ALL) - (a.lane === ALL) || a.index - b.index);
  svg.append(...groups.map((event) => draw(event, grid, plan)));
  return svg;
}

function drawRails(svg, plan, grid, from, to) {
  for (const lane of [...data.hosts.keys(), SERVER]) {
    const x = grid.of(lane);
    let y = from;
    const rail = (until, down) => {
      if (until > y) svg.append(shape("line", { class: down ? "rail down" : "rail", x1: x, x2: x, y1: y, y2: Math.min(until, to) }));
      y = Math.max(y, until);
    };
    for (const span of spans) {
      if (!span.down || span.lane !== lane) continue;
      rail(heightOf(plan, span.from, false), false);
      rail(heightOf(plan, span.to, false), true);
    }
    rail(plan.height - 20, false);
  }
}

/** Where something was amiss for a while: a shaded stretch of the lifeline. */
function drawSpans(svg, plan, grid, from, to) {
  const last = plan.knots.length === 0 ? 0 : plan.knots[plan.knots.length - 1].at;
  for (const span of spans) {
    // With a filter, all that is shown may be over by then.
    if (span.from > last) continue;
    const y1 = heightOf(plan, span.from, false);
    const y2 = Math.max(y1 + 6, heightOf(plan, span.to, false));
    if (y2 < from || y1 > to) continue;
    const half = span.down ? 9 : 15;
    const box = shape("rect", { class: span.down ? "span-down" : "span", x: grid.of(span.lane) - half, y: y1, width: 2 * half, height: y2 - y1, rx: 3 });
    box.append(shape("title", { text: `${laneName(span.lane)}: ${span.label}, ${clock(span.from)} to ${clock(span.to)}` }));
    svg.append(box);
  }
}

/** Links along both lifelines: hollow while they open, dark once TLS stands. */
function drawLinks(svg, plan, grid, from, to) {
  for (const link of links.values()) {
    const opening = heightOf(plan, link.opening, false);
    const opened = link.opened < 0 ? opening : heightOf(plan, link.opened, false);
    const tls = link.protectedAt < 0 ? Infinity : heightOf(plan, link.protectedAt, false);
    const band = (x, width, top, bottom, kind) => {
      if (bottom <= top || bottom < from || top > to) return;
      const box = shape("rect", { class: `link ${kind}`, x, y: top, width, height: bottom - top, rx: 1.5 });
      box.append(shape("title", { text: `link ${link.id} of ${laneName(link.host)}, its ${link.generation}.` }));
      svg.append(box);
    };
    // What broke and is not known to have ended yet is a hollow band: half-open.
    const broken = link.brokenAt < 0 ? Infinity : heightOf(plan, link.brokenAt, true);
    const both = (x, width, end) => {
      const bottom = end < 0 ? plan.height - 20 : heightOf(plan, end, true);
      band(x, width, opened, Math.min(tls, broken, bottom), "");
      band(x, width, tls, Math.min(broken, bottom), "tls");
      band(x, width, broken, bottom, "opening");
    };
    const x = grid.of(link.host) + 4;
    band(x, 5, opening, opened, "opening");
    if (!link.stands) continue;
    both(x, 5, link.hostEnd);
    if (grid.bands > 0) both(grid.server - 7 - 5 * (grid.bands - 1 - link.host), 3, link.serverEnd);
  }
}

function drawBreak(svg, gap, grid) {
  const { y } = gap;
  const left = AXIS - 14;
  let wave = `M${left} ${y - 4}`;
  let flat = `M${left} ${y + 4}`;
  for (let x = left; x < grid.width; x += 16) {
    wave += " q4 -4 8 0 t8 0";
    flat += " q4 -4 8 0 t8 0";
  }
  svg.append(
    shape("rect", { class: "break", x: left, y: y - 4, width: grid.width - left, height: 8 }),
    shape("path", { class: "break-line", d: wave }),
    shape("path", { class: "break-line", d: flat }),
    shape("text", { class: "break-text halo", x: AXIS / 2 - 4, y: y + 4, text: lasting(gap.pause) }),
  );
}

/** The names over the lanes; of hosts also the link that stands at the top of the view. */
function drawLanes(plan, grid, top) {
  const svg = shape("svg", { width: grid.width, height: 40 });
  for (const lane of [...data.hosts.keys(), SERVER]) {
    const x = grid.of(lane);
    const anchor = "middle";
    svg.append(shape("text", { class: "lane-name", x, y: 18, "text-anchor": anchor, text: fit(laneName(lane), grid.spacing - 20) }));
    if (lane === SERVER) continue;
    const link = [...links.values()].filter((link) => link.host === lane
      && heightOf(plan, link.opening, false) <= top + 1
      && (link.hostEnd < 0 || heightOf(plan, link.hostEnd, true) > top)).pop();
    const text = link === undefined ? "no link" : `link ${link.id}${link.protectedAt >= 0 && heightOf(plan, link.protectedAt, false) <= top ? ", TLS" : ""}`;
    svg.append(shape("text", { class: "lane-sub", x, y: 33, "text-anchor": anchor, text }));
  }
  return svg;
}
