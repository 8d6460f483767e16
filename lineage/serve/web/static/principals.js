/* A principal that is pointed at, or reached by keyboard, is shown with what leads to it and from it; the rest is dimmed. */
"use strict";

(() => {
  for (const picture of document.querySelectorAll(".drawing.whole svg.dg")) {
    const edges = [...picture.querySelectorAll("[data-from]")];
    const nodes = [...picture.querySelectorAll("[data-id]")];
    const look = (id) => {
      const near = new Set([id]);
      for (const edge of edges) {
        const touches = edge.dataset.from === id || edge.dataset.to === id;
        edge.classList.toggle("dg-far", id !== null && !touches);
        if (touches) near.add(edge.dataset.from).add(edge.dataset.to);
      }
      for (const node of nodes) node.classList.toggle("dg-far", id !== null && !near.has(node.dataset.id));
    };
    for (const node of nodes) {
      node.addEventListener("pointerenter", () => look(node.dataset.id));
      node.addEventListener("pointerleave", () => look(null));
      node.addEventListener("focusin", () => look(node.dataset.id));
      node.addEventListener("focusout", () => look(null));
    }
  }
})();
