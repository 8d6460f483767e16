/* Dragging over a drawing of time fills in the form below it, which also works by typing. */
"use strict";

for (const box of document.querySelectorAll("[data-ranges]")) {
  const form = document.getElementById(box.dataset.ranges);
  const svg = box.querySelector("svg");
  const span = svg.querySelector(".dg-time") ?? svg;
  const begins = Date.parse(box.dataset.begins);
  const ends = Date.parse(box.dataset.ends);
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  mark.setAttribute("class", "dg-range");
  const [, , , height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const area = span === svg ? { x: 0, width: Number(svg.getAttribute("viewBox").split(" ")[2]) } : span.getBBox();
  form.querySelector("[data-how]").hidden = false;

  const across = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return Math.min(Math.max((point.x - area.x) / area.width, 0), 1);
  };
  const show = (one, other) => {
    const [from, to] = [Math.min(one, other), Math.max(one, other)];
    mark.setAttribute("x", area.x + from * area.width);
    mark.setAttribute("width", (to - from) * area.width);
    mark.setAttribute("y", 0);
    mark.setAttribute("height", height);
    svg.append(mark);
    const moment = (part) => new Date(begins + part * (ends - begins)).toISOString();
    form.elements.from.value = moment(from);
    form.elements.to.value = moment(to);
  };

  let start = null;
  let moved = false;
  svg.addEventListener("pointerdown", (event) => {
    moved = false;
    if (event.button === 0) start = across(event);
  });
  window.addEventListener("pointermove", (event) => {
    if (start === null || Math.abs(across(event) - start) < 0.005) return;
    moved = true;
    show(start, across(event));
  });
  window.addEventListener("pointerup", () => {
    if (start !== null && moved) form.querySelector("button").focus({ preventScroll: true });
    start = null;
  });
  svg.addEventListener("dragstart", (event) => event.preventDefault());
  svg.addEventListener("click", (event) => moved && event.preventDefault(), true); // a drag over a link is not a click
}
