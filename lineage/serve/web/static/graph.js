/* The graph to move about in: the places are those of the document, nothing is laid out here. */
"use strict";

(() => {
  const box = document.getElementById("drawing");
  if (!box || typeof cytoscape === "undefined") return;
  const look = getComputedStyle(document.documentElement);
  const colour = (name) => look.getPropertyValue(`--${name}`).trim();
  const flag = {
    active: "good", revoked: "bad", cascaded: "bad", suspended: "warn", not_yet_valid: "warn", unknown: "odd",
  };

  const draw = (doc) => {
    const nodes = doc.nodes.map((node) => ({
      data: { id: node.key, label: `${node.kind} ${node.id}\n${node.state.replaceAll("_", " ")}`, state: node.state, focus: node.focus },
      position: { x: node.x, y: node.y },
    }));
    const more = doc.collapsed.map((one) => ({
      data: { id: one.key, label: `+${one.count.toLocaleString("en")}` },
      classes: "collapsed",
      position: { x: one.x, y: one.y },
    }));
    const edges = doc.edges.map((edge) => ({ data: { source: edge.from, target: edge.to } }));
    const rest = doc.collapsed.map((one) => ({
      data: one.where === "below" ? { source: one.of, target: one.key } : { source: one.key, target: one.of },
    }));
    const cy = cytoscape({
      container: box,
      elements: [...nodes, ...more, ...edges, ...rest],
      layout: { name: "preset" },
      autoungrabify: true,
      boxSelectionEnabled: false,
      minZoom: 0.1,
      maxZoom: 3,
      style: [
        { selector: "node", style: {
          shape: "round-rectangle", width: 240, height: 40, label: "data(label)", color: colour("ink"),
          "background-color": colour("sheet"), "border-width": 2, "border-color": colour("edge"), "font-size": 10,
          "text-valign": "center", "text-wrap": "wrap", "text-max-width": 232, "text-overflow-wrap": "anywhere",
          "font-family": "sans-serif",
        } },
        ...Object.entries(flag).map(([state, name]) => ({
          selector: `node[state="${state}"]`, style: { "border-color": colour(name) },
        })),
        { selector: "node[?focus]", style: { "border-width": 4, "background-color": colour("calm-tint") } },
        { selector: "node.collapsed", style: { width: 70, "border-style": "dashed" } },
        { selector: "node.chosen", style: { "outline-width": 4, "outline-color": colour("mark"), "outline-offset": 3 } },
        { selector: "edge", style: {
          width: 1.5, "line-color": colour("edge"), "target-arrow-color": colour("edge"), "target-arrow-shape": "triangle",
          "curve-style": "straight", "arrow-scale": 0.9,
        } },
      ],
    });
    box.classList.add("live");
    const whole = cy.elements().boundingBox();
    box.style.height = `${Math.min(Math.max(whole.h * Math.min(box.clientWidth / whole.w, 1) + 64, 160), 560)}px`;
    cy.resize();
    cy.fit(undefined, 24);
    const rows = new Map([...document.querySelectorAll("tr[data-key]")].map((row) => [row.dataset.key, row]));
    cy.on("tap", "node", (event) => rows.get(event.target.id())?.querySelector("a")?.focus());
    for (const [key, row] of rows) {
      row.addEventListener("focusin", () => {
        cy.nodes(".chosen").removeClass("chosen");
        cy.getElementById(key).addClass("chosen");
      });
    }
    const tools = document.getElementById("tools");
    tools.hidden = false;
    tools.querySelector("[data-zoom=in]").addEventListener("click", () => zoom(cy, 1.25));
    tools.querySelector("[data-zoom=out]").addEventListener("click", () => zoom(cy, 0.8));
    tools.querySelector("[data-zoom=fit]").addEventListener("click", () => cy.fit(undefined, 24));
    box.dataset.drawn = String(cy.nodes().length);
  };

  const zoom = (cy, by) => cy.zoom({ level: cy.zoom() * by, renderedPosition: { x: box.clientWidth / 2, y: box.clientHeight / 2 } });

  // If the document does not come, the drawing that the server made stays.
  fetch(box.dataset.document, { headers: { Accept: "application/json" } })
    .then((answer) => (answer.ok ? answer.json().then(draw) : undefined))
    .catch(() => undefined);
})();
