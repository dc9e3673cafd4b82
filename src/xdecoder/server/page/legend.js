// The list of masks: shown or not, lit, copied, chosen.

function legendRow(mask) {
  const swatch = make("span", { className: "swatch" });
  swatch.style.setProperty("--c", mask.color);
  const check = make("input", { type: "checkbox", checked: !state.hidden.has(mask) });
  check.addEventListener("change", () => {
    state.hidden[check.checked ? "delete" : "add"](mask);
    tellAll();
    draw();
  });
  const { width, height } = state.now.picture;
  const share = (100 * mask.area) / (width * height);
  const facts = [mask.score === undefined ? "" : mask.score.toFixed(2), `${share < 0.1 ? "<0.1" : share.toFixed(1)} %`];
  const copy = make("button", { type: "button", className: "quiet", title: "Copy the polygon", "aria-label": `Copy the polygon of ${mask.label}` }, "Copy");
  copy.addEventListener("click", () => copyPolygon(mask));
  const choose = make("button", { type: "button", className: "quiet", title: "Make it the region", "aria-label": `Choose ${mask.label} as the region` }, "Choose");
  choose.addEventListener("click", () => chooseMask(mask));
  const name = make("label", {}, check, swatch, make("span", { className: "name" }, mask.label), make("small", {}, facts.filter(Boolean).join(" · ")));
  const row = make("li", { mask }, name, copy, choose);
  for (const event of ["mouseenter", "focusin"]) row.addEventListener(event, () => light(mask));
  for (const event of ["mouseleave", "focusout"]) row.addEventListener(event, () => light(null));
  return row;
}

function tellAll() {
  find("toggle-all").textContent = shownMasks().length ? "Hide all" : "Show all";
}

function startLegend() {
  find("toggle-all").addEventListener("click", () => {
    const hide = shownMasks().length > 0;
    for (const mask of state.now.masks) state.hidden[hide ? "add" : "delete"](mask);
    for (const check of all("input", find("legend"))) check.checked = !hide;
    tellAll();
    draw();
  });
  onChange((now, before) => {
    if (now.masks === before.masks && now.picture === before.picture) return;
    find("legend-box").hidden = !now.asked;
    find("legend-title").textContent = now.masks.length ? `${now.masks.length} ${now.masks.length === 1 ? "mask" : "masks"}` : "Nothing was found";
    find("toggle-all").hidden = !now.masks.length;
    find("legend").replaceChildren(...now.masks.map(legendRow));
    tellAll();
  });
}

