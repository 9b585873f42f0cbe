// The whole run in a strip beside the chart: where things happen, where they went
// wrong, and what part of it is in view. Click or drag to go somewhere.

const strip = document.getElementById("strip");

/** The part that does not change while one scrolls, kept as a picture. */
let background = null;

/** The events are others, or look different: the picture is to be made anew. */
function forgetStrip() {
  background = null;
}

function drawStrip() {
  const { plan } = state;
  const box = strip.getBoundingClientRect();
  if (plan === null || box.height === 0) return;
  const ratio = devicePixelRatio || 1;
  const width = Math.round(box.width * ratio);
  const height = Math.round(box.height * ratio);
  if (strip.width !== width || strip.height !== height) {
    strip.width = width;
    strip.height = height;
    background = null;
  }
  // A short run keeps its size, so that the strip is a small picture and not a stretched one.
  const scale = Math.min(box.height / plan.height, 0.25);
  state.stripScale = scale;
  background ??= pictureOfRun(plan, box, ratio, scale);

  const paint = strip.getContext("2d");
  paint.setTransform(1, 0, 0, 1, 0, 0);
  paint.clearRect(0, 0, width, height);
  paint.drawImage(background, 0, 0);
  paint.scale(ratio, ratio);
  if (state.selected !== null && state.selected.y !== undefined) {
    paint.fillStyle = colour("focus");
    paint.beginPath();
    paint.arc(box.width - 5, state.selected.y * scale, 3, 0, 7);
    paint.fill();
  }
  const top = stage.scrollTop * scale;
  const seen = Math.max(8, (stage.clientHeight - 40) * scale);
  paint.fillStyle = colour("select");
  paint.fillRect(0, top, box.width, seen);
  paint.lineWidth = 1;
  paint.strokeStyle = colour("focus");
  paint.strokeRect(0.5, top + 0.5, box.width - 1, seen - 1);
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function pictureOfRun(plan, box, ratio, scale) {
  const picture = document.createElement("canvas");
  picture.width = strip.width;
  picture.height = strip.height;
  const paint = picture.getContext("2d");
  paint.scale(ratio, ratio);
  const colours = Object.fromEntries(
    ["message", "presence", "iq", "nonza", "fault", "violation", "healed", "paper"].map((name) => [name, colour(name)]));
  const inner = box.width - 20;
  const across = (lane) => 12 + (inner - 4) * (lane < 0 ? 1 : lane / Math.max(1, data.hosts.length));

  paint.globalAlpha = 0.35;
  for (const event of plan.shown) {
    if (event.wire === null) continue;
    const y = event.y * scale;
    const x1 = across(event.lane);
    const x2 = across(target(event));
    const lost = fate(event) !== "read";
    paint.strokeStyle = colours[event.kind] ?? colours.nonza;
    paint.beginPath();
    paint.moveTo(x1, y);
    paint.lineTo(lost ? (x1 + x2) / 2 : x2, lost ? y : event.yEnd * scale);
    paint.stroke();
  }
  paint.globalAlpha = 1;
  paint.fillStyle = colours.paper;
  for (const gap of plan.breaks) paint.fillRect(0, (gap.y - 10) * scale, box.width, Math.max(1.5, 20 * scale));
  for (const event of plan.shown) {
    const y = event.y * scale;
    if (event.kind === "fault") {
      paint.fillStyle = colours.fault;
      paint.beginPath();
      paint.moveTo(2, y - 3.5);
      paint.lineTo(8, y);
      paint.lineTo(2, y + 3.5);
      paint.fill();
    } else if (event.kind === "violation" || event.kind === "healed") {
      paint.fillStyle = colours[event.kind];
      paint.fillRect(0, y - 1, box.width, event.kind === "violation" ? 3 : 1.5);
    }
  }
  return picture;
}

/** Brings the place under the pointer into the middle of the view. */
function goTo(pointer) {
  const y = (pointer.clientY - strip.getBoundingClientRect().top) / state.stripScale;
  stage.scrollTop = y - stage.clientHeight / 2;
}

strip.addEventListener("pointerdown", (pointer) => {
  strip.setPointerCapture(pointer.pointerId);
  goTo(pointer);
});
strip.addEventListener("pointermove", (pointer) => {
  if (pointer.buttons === 1) goTo(pointer);
});
