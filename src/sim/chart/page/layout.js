// Where everything goes. Time runs down, but not evenly: each event has a row of its
// own, so that labels never overlap, more time is more space up to a bound, and where
// nothing happens for long the axis is broken, with the time that passes written there.

const ROW = 22;
const TOP = 26;
const BREAK = 44;
/** A pause is a break of the axis from here on, in microseconds. */
const PAUSE = 1.5e6;

const AXIS = 92;
const SIDE = 240;
const SPACING = { least: 190, most: 440 };

/** The space for a pause that is not broken out. */
function space(micros) {
  return micros <= 0 ? 0 : 2 + 5 * Math.log10(1 + micros / 200);
}

/** The rows and heights of these events. */
function layOut(shown) {
  const points = [];
  for (const event of shown) {
    points.push({ at: event.at, order: event.order, event, start: true });
    if (event.wire !== null && event.wire.read >= 0) {
      points.push({ at: event.wire.read, order: event.wire.readOrder, event, start: false });
    }
  }
  // What was begun first comes first; what was read at a moment comes before what follows from it.
  points.sort((a, b) => a.order - b.order || a.start - b.start || a.event.index - b.event.index);

  const knots = [];
  const breaks = [];
  const times = [];
  let y = TOP;
  let lastRow = -Infinity;
  let lastTime = -Infinity;
  /** Where an arrow ended last, by lane: a label beside it must not cover its head. */
  const heads = new Map();
  let before = 0;
  for (const point of points) {
    const pause = point.at - before;
    if (pause >= PAUSE) {
      const from = Math.max(y, lastRow + ROW / 2) + 4;
      breaks.push({ y: from + BREAK / 2, pause });
      y = from + BREAK;
      lastRow = y - ROW / 2;
    } else {
      y += space(pause);
    }
    if (point.start) {
      const clear = point.event.wire === null ? 10 : 19;
      y = Math.max(y, lastRow + ROW, (heads.get(point.event.lane) ?? -Infinity) + clear);
      lastRow = y;
      point.event.y = y;
      if (point.event.wire !== null) point.event.yEnd = y + 14;
    } else {
      y += 5;
      point.event.yEnd = Math.max(y, point.event.y + 6);
      y = point.event.yEnd;
      heads.set(target(point.event), y);
    }
    if (point.start && y >= lastTime + 16) {
      const text = shortClock(point.at);
      if (times.length === 0 || times[times.length - 1].text !== text) {
        times.push({ y, text });
        lastTime = y;
      }
    }
    knots.push({ at: point.at, y });
    before = Math.max(before, point.at);
  }
  const height = y + 60;
  return { shown, knots, breaks, times, height, buckets: buckets(shown, height) };
}

/** Which events touch which stretch of the chart: only those in view are drawn. */
const BUCKET = 400;
function buckets(shown, height) {
  const all = Array.from({ length: Math.ceil(height / BUCKET) + 1 }, () => []);
  for (const event of shown) {
    const last = Math.floor(((event.wire === null ? event.y : event.yEnd) + ROW) / BUCKET);
    for (let i = Math.floor(Math.max(0, event.y - ROW) / BUCKET); i <= last; i += 1) all[i]?.push(event);
  }
  return all;
}

/** The height of a time; at an instant with several rows, of its first or its last. */
function heightOf(plan, at, last) {
  const { knots } = plan;
  let low = 0;
  let high = knots.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (last ? knots[middle].at <= at : knots[middle].at < at) low = middle + 1;
    else high = middle;
  }
  // `low` is the first knot at or after `at`, or, for the last row, the first after it.
  if (last && low > 0 && knots[low - 1].at === at) return knots[low - 1].y;
  if (!last && low < knots.length && knots[low].at === at) return knots[low].y;
  if (low === 0) return TOP / 2;
  if (low === knots.length) return plan.height - 30;
  const [a, b] = [knots[low - 1], knots[low]];
  return a.y + ((b.y - a.y) * (at - a.at)) / Math.max(1, b.at - a.at);
}

/** The columns for a stage of this width: hosts from the left, the server last. */
function columns(width) {
  const hosts = data.hosts.length;
  const free = (width - AXIS - 2 * SIDE) / Math.max(1, hosts);
  const spacing = Math.min(SPACING.most, Math.max(SPACING.least, free));
  // What few lanes leave over goes to the labels outside of them.
  const side = SIDE + Math.max(0, Math.min(160, (width - AXIS - 2 * SIDE - spacing * hosts) / 2));
  const x = data.hosts.map((_, host) => AXIS + side + host * spacing);
  const server = AXIS + side + hosts * spacing;
  const bands = hosts <= 6 ? hosts : 0;
  return {
    spacing,
    side,
    width: Math.max(width, server + side),
    server,
    bands,
    of: (lane) => (lane < 0 ? server : x[lane]),
    /** Where arrows begin and end: beside the bands of links. */
    port: (lane) => (lane < 0 ? server - 8 - 5 * bands : x[lane] + 11),
  };
}
