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
        edge.classList.toggle("dg-near", id !== null && touches);
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

  // A part of a name finds principals in the drawing: they are marked, and Enter goes from one to the next.
  const finder = document.getElementById("finder");
  const sought = finder?.querySelector("input");
  let turn = -1;
  const find = () => {
    const word = sought.value.trim().toLowerCase();
    const nodes = [...document.querySelectorAll("#drawn [data-id]")];
    const found = nodes.filter((node) => word && `${node.dataset.id} ${node.textContent}`.toLowerCase().includes(word));
    for (const node of nodes) {
      node.classList.toggle("dg-found", found.includes(node));
      node.classList.toggle("dg-far", Boolean(word) && !found.includes(node));
    }
    finder.querySelector("output").value = word ? `${found.length} of ${nodes.length}` : "";
    return found;
  };
  const next = () => {
    const found = find();
    if (!found.length) return;
    turn = (turn + 1) % found.length;
    const frame = found[turn].closest(".drawing");
    const [inner, outer] = [found[turn].getBoundingClientRect(), frame.getBoundingClientRect()];
    frame.scrollBy(
      inner.left - outer.left - (outer.width - inner.width) / 2,
      inner.top - outer.top - (outer.height - inner.height) / 2,
    );
  };
  sought?.addEventListener("input", () => { turn = -1; next(); });
  sought?.addEventListener("keydown", (event) => {
    if (event.key === "Enter") next();
    if (event.key === "Escape") { sought.value = ""; find(); }
  });
  if (finder) finder.hidden = false;

  follow();
  document.addEventListener("drawn", follow); // dispatched by replay.js
  if (finder) document.addEventListener("drawn", find);
})();
