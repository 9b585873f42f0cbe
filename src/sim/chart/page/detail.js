// The panel with the selected event, and the tooltip.

const panel = document.getElementById("panel");
const tip = document.getElementById("tip");

const MEANINGS = {
  message: "message",
  presence: "presence",
  iq: "request or answer (iq)",
  nonza: "stream level: login, acks, errors",
  stream: "begin and end of a stream",
  bytes: "bytes that are no whole stanza",
  asked: "a bot asks its engine",
  told: "an engine tells its bot",
  kept: "a bot writes down to survive",
  note: "a fact in the server",
  link: "a link opens, is protected, ends",
  process: "a process starts or dies",
  fault: "a fault of the plan",
  healed: "no more faults from here on",
  violation: "a rule is broken",
};

const KEYS = [
  ["j", "next event"], ["k", "previous event"], ["n", "next broken rule"], ["N", "previous one"],
  ["f", "next fault"], ["/", "filter"], ["Esc", "clear selection, then filter"], ["t", "table or chart"],
  ["g", "to the start"], ["G", "to the end"],
];

/** Without a selection: how to read the chart. */
function showLegend() {
  panel.classList.remove("chosen");
  const legend = element("ul", { class: "legend" });
  for (const kind of data.kinds) {
    legend.append(element("li", {}, element("span", { class: `k-${kind}` }, picture(kind)), MEANINGS[kind] ?? kind));
  }
  const cross = shape("svg", { viewBox: "-17 -8 34 16", width: 34, height: 16, class: "item k-message", "aria-hidden": "true" },
    shape("line", { x1: -14, y1: 0, x2: 6, y2: 0 }),
    shape("path", { class: "lost", d: "M3-5 L13 5 M3 5 L13-5" }));
  legend.append(element("li", {}, cross, "written, and never read whole"));
  const box = (name) => shape("svg", { width: 16, height: 16, "aria-hidden": "true" },
    shape("rect", { class: name, x: 2, y: 1, width: 12, height: 14, rx: 3 }));
  legend.append(
    element("li", {}, box("span"), "a fault lasts"),
    element("li", {}, box("span-down"), "process or server down"),
    element("li", {}, shape("svg", { width: 16, height: 16, "aria-hidden": "true" },
      shape("rect", { class: "link", x: 3, y: 1, width: 4, height: 14 }),
      shape("rect", { class: "link tls", x: 9, y: 1, width: 4, height: 14 })), "a link; darker with TLS"),
    element("li", {}, shape("svg", { width: 16, height: 16, "aria-hidden": "true" },
      shape("rect", { class: "link opening", x: 5, y: 1, width: 5, height: 14 })), "opening, or broken and not noticed"),
  );
  const keys = element("div", { class: "keys" });
  for (const [key, meaning] of KEYS) keys.append(element("span", {}, element("kbd", { text: key })), element("span", { text: meaning }));
  panel.replaceChildren(
    element("h2", { text: "How to read this" }),
    element("p", { text: "Time runs down. Every event has a row of its own; an arrow goes from the moment something was written to the moment it was read. Click an event for all of it." }),
    element("h3", { text: "Signs" }), legend,
    element("h3", { text: "Keys" }), keys,
  );
}

/** All there is about an event. */
function showEvent(event) {
  panel.classList.add("chosen");
  const turn = element("div", { class: "turn" });
  for (const [text, label, step] of [["↑", "previous event", -1], ["↓", "next event", 1]]) {
    const button = element("button", { type: "button", "aria-label": label, text });
    button.addEventListener("click", () => move(step));
    turn.append(button);
  }
  const close = element("button", { type: "button", "aria-label": "close", text: "×" });
  close.addEventListener("click", () => select(null));
  turn.append(close);

  const facts = element("dl");
  const fact = (name, value) => facts.append(element("dt", { text: name }), element("dd", { text: value }));
  if (event.lane !== ALL) fact(event.wire === null ? "Where" : "From, to", who(event));
  if (event.wire === null) fact("When", clock(event.at));
  else wireFacts(event, fact);
  if (event.link !== null) fact("Link", `${event.link.id}, number ${event.link.generation} of ${laneName(event.link.host)}`);

  const parts = [turn, element("p", { class: "kind" }, picture(event.kind), MEANINGS[event.kind] ?? event.kind), element("h2", { text: event.label }), facts];
  if (event.detail !== "") {
    const pre = element("pre");
    if (event.wire === null) pre.textContent = visible(folded(event.detail));
    else pre.append(...indented(event.detail));
    parts.push(element("h3", { text: event.wire === null ? "In full" : "As written, indented" }), pre);
  }
  panel.replaceChildren(...parts);
  panel.scrollTop = 0;
}

function wireFacts(event, fact) {
  const { wire } = event;
  const pieces = (n) => (n > 1 ? `, in ${n} pieces` : "");
  fact("Written", `${clock(event.at)}${wire.written > event.at ? ` to ${clock(wire.written)}` : ""}${pieces(wire.writes)}`);
  if (wire.read >= 0) {
    fact("Read", `${wire.firstRead < wire.read ? `${clock(wire.firstRead)} to ` : ""}${clock(wire.read)}${pieces(wire.reads)}`);
    fact("Took", lasting(wire.read - event.at));
    const ended = event.lane === SERVER ? event.link.serverEnd : event.link.hostEnd;
    if (ended >= 0 && wire.read > ended) fact("Late", `its writer's end of the link was over at ${clock(ended)}`);
  } else {
    fact("Read", fate(event) === "lost" ? "never: lost" : "not yet, when the run ended");
    if (wire.arrived > 0) fact("Arrived", `${wire.arrived} of ${wire.bytes} bytes`);
  }
  fact("Bytes", String(wire.bytes));
}

/** Rust's debug form with what fits a line on one line. Line breaks of texts are escaped there. */
function folded(text) {
  let now = text;
  for (let i = 0; i < 8; i += 1) {
    const next = now.replace(/([([])\n\s+([^\n]{0,60}),\n\s*([)\]])/g, "$1$2$3");
    if (next === now) break;
    now = next;
  }
  return now.replaceAll("    ", "  ");
}

/** Cuts XML into tags and texts. Anything else comes out as it is. */
function tokens(text) {
  const found = [];
  let i = 0;
  while (i < text.length) {
    if (text[i] !== "<") {
      const next = text.indexOf("<", i);
      const end = next < 0 ? text.length : next;
      found.push({ tag: false, text: text.slice(i, end) });
      i = end;
      continue;
    }
    let end = i + 1;
    let quote = "";
    for (; end < text.length; end += 1) {
      const c = text[end];
      if (quote !== "") { if (c === quote) quote = ""; }
      else if (c === '"' || c === "'") quote = c;
      else if (c === ">") { end += 1; break; }
    }
    found.push({ tag: true, text: text.slice(i, end) });
    i = end;
  }
  return found;
}

/** XML with a line for each element, as nodes. */
function indented(text) {
  const all = tokens(text);
  const out = [];
  let depth = 0;
  let fresh = true;
  const line = (by) => {
    if (!fresh) out.push("\n");
    out.push("  ".repeat(Math.max(0, by)));
    fresh = false;
  };
  for (let i = 0; i < all.length; i += 1) {
    const token = all[i];
    const [next, after] = [all[i + 1], all[i + 2]];
    if (!token.tag) {
      if (token.text.trim() === "") continue;
      line(depth);
      out.push(element("span", { class: "x-text", text: visible(token.text) }));
    } else if (token.text.startsWith("</")) {
      depth -= 1;
      line(depth);
      out.push(...tag(token.text));
    } else if (/^<[?!]/.test(token.text) || token.text.endsWith("/>")) {
      line(depth);
      out.push(...tag(token.text));
    } else {
      line(depth);
      out.push(...tag(token.text));
      // An element with nothing but text stays on its line.
      if (next?.tag === false && after?.text.startsWith("</")) {
        out.push(element("span", { class: "x-text", text: visible(next.text) }), ...tag(after.text));
        i += 2;
      } else if (next?.tag && next.text.startsWith("</")) {
        out.push(...tag(next.text));
        i += 1;
      } else {
        depth += 1;
      }
    }
  }
  return out;
}

/** A tag with its parts told apart. */
function tag(text) {
  const parts = /^(<[/?!]?)([^\s/>?]*)([^]*?)([/?]?>?)$/.exec(text);
  if (parts === null) return [visible(text)];
  const [, open, name, attributes, close] = parts;
  const out = [open, element("span", { class: "x-name", text: visible(name) })];
  for (const piece of attributes.match(/"[^"]*"?|'[^']*'?|[^"']+/g) ?? []) {
    const quoted = /^["']/.test(piece);
    out.push(element("span", { class: quoted ? "x-value" : "x-attr", text: visible(piece) }));
  }
  out.push(close);
  return out;
}

/** A short word about what is under the pointer. */
function showTip(event, x, y) {
  const { wire } = event;
  let when = `${who(event)}, ${clock(event.at)}`;
  if (event.lane === ALL) when = clock(event.at);
  else if (wire !== null) when += wire.read >= 0 ? `, read ${lasting(wire.read - event.at)} later` : `, ${fate(event)}`;
  const parts = [element("b", { text: event.label }), element("span", { text: when })];
  if (event.detail !== "") {
    const most = 320;
    const more = event.detail.length > most ? "…" : "";
    parts.push(element("code", { text: `${visible(event.detail.slice(0, most))}${more}` }));
  }
  tip.replaceChildren(...parts);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(8, y - box.height - 12) : y + 18}px`;
}

function hideTip() {
  tip.hidden = true;
}
