"use strict";
// Draws the page's figures with plotly, in the colours of page.css, and again, zoomed as they are,
// when the reader changes to light or dark.
const texts = JSON.parse(document.getElementById("figures").textContent).map((figure) => JSON.stringify(figure));
const tools = ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"];  // none that sends anything anywhere
const config = {responsive: true, displaylogo: false, modeBarButtons: [tools]};
const isTouched = matchMedia("(pointer: coarse)").matches;

function figure(number) {
  const style = getComputedStyle(document.documentElement);
  const revive = (key, value) => (value && value.css ? style.getPropertyValue(value.css).trim() : value);
  return JSON.parse(texts[number], revive);
}

function draw(div) {
  const {data, layout} = figure(div.dataset.figure);
  for (const [name, now] of Object.entries(div.layout || {})) {
    if (/^[xy]axis/.test(name)) Object.assign(layout[name], {type: now.type, range: now.range, autorange: now.autorange});
  }
  if (isTouched) layout.dragmode = false;  // a finger on a figure scrolls the page
  return Plotly.react(div, data, layout, config);
}

const drawings = [...document.querySelectorAll("[data-figure]")];
drawings.forEach(draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawings.forEach(draw));

for (const button of document.querySelectorAll("button[data-log]")) {
  button.addEventListener("click", () => {
    const isLog = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isLog));
    Plotly.relayout(button.dataset.log, {"yaxis.type": isLog ? "log" : "linear", "yaxis.autorange": true});
  });
}

for (const button of document.querySelectorAll("button[data-view]")) {
  button.addEventListener("click", () => {
    Plotly.relayout(button.dataset.view, {"xaxis.range": JSON.parse(button.dataset.range)});
  });
}
