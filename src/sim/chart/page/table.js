// The same events as a table: for screen readers, and for the browser's own search.

const tableBox = document.getElementById("table");
/** Rows at a time: all of most runs. */
const PAGE = 5000;

function drawTable(shown) {
  const first = Math.min(state.tableFrom, Math.max(0, shown.length - 1));
  const rows = shown.slice(first, first + PAGE);
  const body = element("tbody");
  for (const event of rows) {
    const row = element("tr", { class: `k-${event.kind}${event === state.selected ? " selected" : ""}`, "data-index": event.index });
    const link = element("a", { href: `#e${event.index}`, text: event.label });
    const cells = [
      element("td", { class: "num", text: clock(event.at) }),
      element("td", { class: "num", text: event.wire === null ? "" : event.wire.read >= 0 ? clock(event.wire.read) : fate(event) }),
      element("td", { class: "who", text: who(event) }),
      element("td", { class: "kind", text: event.kind }),
      element("td", {}, link, event.kind === "violation" ? `: ${visible(event.detail)}` : ""),
    ];
    row.append(...cells);
    body.append(row);
  }
  const head = element("tr");
  for (const name of ["Time", "Read", "Where", "Kind", "What"]) head.append(element("th", { scope: "col", text: name }));
  const table = element("table", {},
    element("caption", { text: `${shown.length} events in the order in which they happened` }),
    element("thead", {}, head), body);
  const parts = [];
  if (shown.length > PAGE) parts.push(pages(shown.length, first));
  parts.push(table);
  tableBox.replaceChildren(...parts);
}

/** Leafing, where there are too many rows for one table. */
function pages(count, first) {
  const box = element("div", { class: "pages" });
  for (const [text, to] of [["Earlier", first - PAGE], ["Later", first + PAGE]]) {
    const button = element("button", { type: "button", text });
    button.disabled = to < 0 || to >= count;
    button.addEventListener("click", () => {
      state.tableFrom = to;
      drawTable(state.plan.shown);
      tableBox.scrollTop = 0;
    });
    box.append(button);
  }
  box.append(`${first + 1} to ${Math.min(count, first + PAGE)} of ${count}`);
  return box;
}

/** Turns to the page with an event, and brings its row into view. */
function showRow(event) {
  const place = state.plan.shown.indexOf(event);
  if (place < 0) return;
  const from = Math.floor(place / PAGE) * PAGE;
  if (from !== state.tableFrom) {
    state.tableFrom = from;
    drawTable(state.plan.shown);
  }
  for (const row of tableBox.querySelectorAll("tr.selected")) row.classList.remove("selected");
  const row = tableBox.querySelector(`tr[data-index="${event.index}"]`);
  row?.classList.add("selected");
  row?.scrollIntoView({ block: "nearest" });
}
