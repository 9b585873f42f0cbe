// The whole run in a strip beside the chart: where things happen, where they went
// wrong, and what part of it is in view. Click or drag to go somewhere.

const strip = document.getElementById("strip");

function drawStrip() {
  const { plan, grid } = state;
  const box = strip.getBoundingClientRect();
  if (plan === null || box.height === 0) return;
  const ratio = devicePixelRatio || 1;
  strip.width = Math.round(box.width * ratio);
  strip.height = Math.round(box.height * ratio);
  const paint = strip.getContext("2d");
  paint.scale(ratio, ratio);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  // A short run keeps its size, so that the strip is a small picture and not a stretched one.
  const scale = Math.min(box.height / plan.height, 0.25);
  state.stripScale = scale;
  const inner = box.width - 20;
  const across = (lane) => 12 + (inner - 4) * (lane < 0 ? 1 : lane / Math.max(1, data.hosts.length));

  paint.lineWidth = 1;
  for (const event of plan.shown) {
    const y = event.y * scale;
    if (event.wire !== null) {
      paint.globalAlpha = 0.35;
      paint.strokeStyle = colour(event.kind === "message" || event.kind === "presence" || event.kind === "iq" ? event.kind : "nonza");
      paint.beginPath();
      const x1 = across(event.lane);
      const x2 = across(target(event));
      const lost = fate(event) !== "read";
      paint.moveTo(x1, y);
      paint.lineTo(lost ? (x1 + x2) / 2 : x2, lost ? y : event.yEnd * scale);
      paint.stroke();
    }
  }
  paint.globalAlpha = 1;
  for (const gap of plan.breaks) {
    paint.fillStyle = colour("paper");
    paint.fillRect(0, (gap.y - 10) * scale, box.width, Math.max(1.5, 20 * scale));
  }
  for (const event of plan.shown) {
    const y = event.y * scale;
    if (event.kind === "fault") {
      paint.fillStyle = colour("fault");
      paint.beginPath();
      paint.moveTo(2, y - 3.5);
      paint.lineTo(8, y);
      paint.lineTo(2, y + 3.5);
      paint.fill();
    } else if (event.kind === "violation" || event.kind === "healed") {
      paint.fillStyle = colour(event.kind);
      paint.fillRect(0, y - 1, box.width, event.kind === "violation" ? 3 : 1.5);
    }
  }
  if (state.selected !== null && state.selected.y !== undefined) {
    paint.fillStyle = colour("focus");
    paint.beginPath();
    paint.arc(box.width - 5, state.selected.y * scale, 3, 0, 7);
    paint.fill();
  }
  const top = stage.scrollTop * scale;
  const height = Math.max(8, (stage.clientHeight - 40) * scale);
  paint.fillStyle = colour("select");
  paint.fillRect(0, top, box.width, height);
  paint.strokeStyle = colour("focus");
  paint.strokeRect(0.5, top + 0.5, box.width - 1, height - 1);
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
