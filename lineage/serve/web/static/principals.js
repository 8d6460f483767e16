/* Highlights the principal under the pointer or in focus, with everything above and below it, and dims the rest. */
"use strict";

(() => {
  const follow = () => document.querySelectorAll(".drawing.whole svg.dg").forEach(one);
  const one = (picture) => {
    const edges = [...picture.querySelectorAll("[data-from]")];
    const nodes = [...picture.querySelectorAll("[data-id]")];
    // In a narrow window, scroll to the subject of the picture instead of its left end.
    const about = picture.querySelector(".dg-focus, .dg-node.dg-bad");
    const frame = picture.parentElement;
    if (about && frame.scrollWidth > frame.clientWidth && !frame.scrollLeft) {
      const [inner, outer] = [about.getBoundingClientRect(), frame.getBoundingClientRect()];
      if (inner.right > outer.right) frame.scrollLeft = inner.left - outer.left - (outer.width - inner.width) / 2;
      if (inner.bottom > outer.bottom) frame.scrollTop = inner.top - outer.top - (outer.height - inner.height) / 2;
    }
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
  };
  follow();
  document.addEventListener("drawn", follow); // dispatched by replay.js
})();
