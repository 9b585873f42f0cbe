// The recording, unpacked. What peers said is only ever put on the screen as text:
// no markup is made from strings anywhere in these scripts.

const data = JSON.parse(document.getElementById("data").textContent);

/** Lanes other than hosts, as the recording numbers them. */
const SERVER = -1;
const ALL = -2;

const links = new Map(data.links.map((row) => {
  const [id, host, generation, opening, opened, stands, protectedAt, brokenAt, hostEnd, hostHow, serverEnd, serverHow] = row;
  return [id, { id, host, generation, opening, opened, stands: stands === 1, protectedAt, brokenAt, hostEnd, hostHow, serverEnd, serverHow }];
}));

const spans = data.spans.map(([lane, from, to, down, label]) =>
  ({ lane, from, to: to < 0 ? data.end : to, down: down === 1, label: visible(label) }));

const events = data.events.map((row, index) => {
  const [kind, order, at, lane, link, label, detail, ...transit] = row;
  const event = {
    index,
    kind: data.kinds[kind],
    order,
    at,
    lane,
    link: links.get(link) ?? null,
    label: visible(data.strings[label]),
    detail: data.strings[detail],
    wire: null,
  };
  if (transit.length > 0) {
    const [bytes, writes, written, firstRead, read, readOrder, reads, arrived] = transit;
    event.wire = { bytes, writes, written, firstRead, read, readOrder, reads, arrived };
  }
  return event;
});

/** What became of something written: "read", "lost", or "under way" when the run ended. */
function fate(event) {
  if (event.wire.read >= 0) return "read";
  const link = event.link;
  const ended = link !== null && (link.brokenAt >= 0 || link.hostEnd >= 0 || link.serverEnd >= 0);
  return ended ? "lost" : "under way";
}

function laneName(lane) {
  if (lane === SERVER) return "Server";
  if (lane === ALL) return "All";
  return visible(data.hosts[lane] ?? `host ${lane}`);
}

/** The other end of an arrow. */
function target(event) {
  return event.lane === SERVER ? event.link.host : SERVER;
}

/** `u0 → Server`, or just where it happened. */
function who(event) {
  return event.wire === null ? laneName(event.lane) : `${laneName(event.lane)} → ${laneName(target(event))}`;
}

/** `1:02.345`; microseconds where they matter. */
function clock(micros) {
  const pad = (number, width) => String(number).padStart(width, "0");
  const seconds = Math.floor(micros / 1e6);
  const rest = micros % 1e6;
  const fraction = rest % 1000 === 0 ? pad(rest / 1000, 3) : pad(rest, 6);
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const start = hours > 0 ? `${hours}:${pad(minutes, 2)}` : String(minutes);
  return `${start}:${pad(seconds % 60, 2)}.${fraction}`;
}

/** The same, to the millisecond: for the axis. */
function shortClock(micros) {
  return clock(Math.floor(micros / 1000) * 1000);
}

/** A length of time as one says it. */
function lasting(micros) {
  const round = (number) => String(Number(number.toPrecision(3)));
  if (micros < 1000) return `${micros} µs`;
  if (micros < 1e6) return `${round(micros / 1e3)} ms`;
  if (micros < 120e6) return `${round(micros / 1e6)} s`;
  const minutes = Math.floor(micros / 60e6);
  if (minutes < 120) return `${minutes} min ${Math.round((micros % 60e6) / 1e6)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Shows what would hide itself, or turn the text around, as `\u{202e}`. */
function visible(text) {
  return text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu,
    (character) => `\\u{${character.codePointAt(0).toString(16)}}`,
  );
}

/** In what the filter searches. Made when first asked for: most runs are never filtered. */
function haystack(event) {
  event.hay ??= `${event.kind} ${who(event)} ${event.link === null ? "" : `link ${event.link.id}`} ${event.wire === null ? "" : fate(event)} ${event.label}\n${event.detail}`.toLowerCase();
  return event.hay;
}

/** An element: its name, its attributes (`text` is its text), its children. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** The same in SVG. */
function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
