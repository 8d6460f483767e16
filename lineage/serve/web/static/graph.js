/* The interactive graph. The positions are those of the document; nothing is laid out here. */
"use strict";

(() => {
  const box = document.getElementById("drawing");
  if (!box || typeof cytoscape === "undefined") return;
  const look = getComputedStyle(document.documentElement);
  const colour = (name) => look.getPropertyValue(`--${name}`).trim();
  const flag = {
    active: "good", revoked: "bad", cascaded: "bad", suspended: "warn", not_yet_valid: "warn", unknown: "odd",
  };
  const LEGIBLE = 0.75; // fraction of the document's size below which text is unreadable and not shown
  const LONGEST = 31; // columns of an id in a box; its end distinguishes it from its neighbours, and the table has all of it
  const STEP = 80; // pixels that an arrow key moves
  const WIDE = 240; // units, width of a box
  const NARROW = 70; // width of a box that stands for others, next to the node it belongs to

  const columns = (letter) => (/[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{3fffd}]/u.test(letter) ? 2 : 1);
  const short = (id) => {
    const letters = [...id];
    let room = LONGEST - letters.reduce((sum, letter) => sum + columns(letter), 0);
    if (room >= 0) return id;
    for (room -= 1; room < 0; room += columns(letters.shift()));
    return `\u2026${letters.join("")}`;
  };

  // The points of a line as Cytoscape expects them: distances along the straight line and perpendicular to it.
  const bends = (from, via, to) => {
    const half = WIDE / 2;
    const [x, y] = [from.x + half, from.y];
    const [dx, dy] = [to.x - half - x, to.y - y];
    const length = Math.hypot(dx, dy);
    const points = via.flatMap((spot) => [[spot.x - half - x, spot.y - y], [spot.x + half - x, spot.y - y]]);
    return {
      weights: points.map(([px, py]) => (px * dx + py * dy) / (length * length)),
      distances: points.map(([px, py]) => (py * dx - px * dy) / length),
    };
  };

  const worst = (node) => (["critical", "high"].includes(node.findings?.worst) ? [`${node.findings.worst} finding`] : []);

  const draw = (doc) => {
    const nodes = doc.nodes.map((node) => ({
      data: {
        id: node.key, label: `${short(node.id)}\n${[node.kind, node.state.replaceAll("_", " "), ...worst(node)].join(", ")}`,
        state: node.state, focus: node.focus, wrong: worst(node).length > 0,
      },
      position: { x: node.x, y: node.y },
    }));
    const more = doc.collapsed.map((one) => ({
      data: { id: one.key, label: `+${one.count.toLocaleString("en")}`, of: one.of },
      classes: "collapsed",
      position: { x: one.x + ((one.where === "above" ? 1 : -1) * (WIDE - NARROW)) / 2, y: one.y },
    }));
    const places = new Map(doc.nodes.map((node) => [node.key, node]));
    const edges = doc.edges.map((edge) => {
      const [from, to] = [places.get(edge.from), places.get(edge.to)];
      return {
        data: { source: edge.from, target: edge.to, ...bends(from, edge.via, to) },
        classes: from.layer >= to.layer ? "back" : edge.via.length ? "bent" : "",
      };
    });
    const rest = doc.collapsed.map((one) => ({
      data: one.where === "below" ? { source: one.of, target: one.key } : { source: one.key, target: one.of },
    }));
    // The wheel scrolls the page, as everywhere else; a drawing must not trap it.
    box.addEventListener("wheel", (event) => !event.ctrlKey && event.stopImmediatePropagation(), { capture: true });
    const cy = cytoscape({
      container: box,
      elements: [...nodes, ...more, ...edges, ...rest],
      layout: { name: "preset" },
      autoungrabify: true,
      boxSelectionEnabled: false,
      minZoom: 0.05,
      maxZoom: 3,
      style: [
        { selector: "node", style: {
          shape: "round-rectangle", width: WIDE, height: 40, label: "data(label)", color: colour("ink"),
          "background-color": colour("sheet"), "border-width": 2, "border-color": colour("edge"), "font-size": 12.5,
          "text-valign": "center", "text-wrap": "wrap", "font-family": "sans-serif",
        } },
        ...Object.entries(flag).map(([state, name]) => ({
          selector: `node[state="${state}"]`, style: { "border-color": colour(name) },
        })),
        { selector: "node[?wrong]", style: { "border-color": colour("bad"), "border-width": 3 } },
        { selector: "node[?focus]", style: { "border-width": 4, "background-color": colour("calm-tint") } },
        { selector: "node.collapsed", style: { width: NARROW, "border-style": "dashed" } },
        { selector: "node.chosen", style: { "outline-width": 4, "outline-color": colour("mark"), "outline-offset": 3 } },
        { selector: "edge", style: {
          width: 1.5, "line-color": colour("edge"), "target-arrow-color": colour("edge"), "target-arrow-shape": "triangle",
          "curve-style": "straight", "arrow-scale": 0.9,
          // From the right of a box to the left of the next, so that no line runs behind a third box.
          "source-endpoint": "50% 0%", "target-endpoint": "-50% 0%",
        } },
        { selector: "edge.back", style: { // an edge that closes a cycle
          "curve-style": "unbundled-bezier", "control-point-distances": 60, "control-point-weights": 0.5,
          "source-endpoint": "outside-to-node", "target-endpoint": "outside-to-node",
        } },
        { selector: "edge.bent", style: {
          "curve-style": "segments", "edge-distances": "endpoints",
          "segment-weights": "data(weights)", "segment-distances": "data(distances)",
        } },
      ],
    });
    box.classList.add("live");
    const whole = cy.elements().boundingBox();
    const scale = Math.max(Math.min(box.clientWidth / whole.w, 1), LEGIBLE);
    box.style.height = `${Math.min(Math.max(whole.h * scale + 64, 160), 560)}px`;
    cy.resize();
    const all = () => {
      cy.fit(undefined, 24);
      if (cy.zoom() > 1) {
        cy.zoom(1);
        cy.center();
      }
    };
    all();
    if (cy.zoom() < LEGIBLE) {
      // Start with what was asked for, at a legible size, with its dependents in view; "Fit" shows the rest.
      cy.zoom(LEGIBLE);
      cy.center(cy.nodes("[?focus]").first());
      const there = cy.elements().renderedBoundingBox();
      const left = Math.max(there.x1 - 24, 0);
      const right = left ? 0 : Math.max(box.clientWidth - 24 - there.x2, 0);
      cy.panBy({ x: right - left, y: -Math.max(there.y1 - 24, 0) });
    }
    const rows = new Map([...document.querySelectorAll("tr[data-key]")].map((row) => [row.dataset.key, row]));
    cy.on("tap", "node", (event) => {
      const row = rows.get(event.target.data("of") ?? event.target.id());
      const fold = row?.closest("details");
      if (fold) fold.open = true;
      row?.querySelector("a")?.focus();
    });
    for (const [key, row] of rows) {
      row.addEventListener("focusin", () => {
        cy.nodes(".chosen").removeClass("chosen");
        const node = cy.getElementById(key).addClass("chosen");
        const { x, y } = node.renderedPosition();
        if (x < 0 || y < 0 || x > box.clientWidth || y > box.clientHeight) cy.center(node);
      });
    }
    const moves = {
      ArrowLeft: () => cy.panBy({ x: STEP, y: 0 }), ArrowRight: () => cy.panBy({ x: -STEP, y: 0 }),
      ArrowUp: () => cy.panBy({ x: 0, y: STEP }), ArrowDown: () => cy.panBy({ x: 0, y: -STEP }),
      "+": () => zoom(cy, 1.25), "=": () => zoom(cy, 1.25), "-": () => zoom(cy, 0.8), 0: all,
    };
    box.addEventListener("keydown", (event) => {
      if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      moves[event.key]();
      shown();
    });
    const tools = document.getElementById("tools");
    tools.hidden = false;
    tools.querySelector("[data-zoom=in]").addEventListener("click", moves["+"]);
    tools.querySelector("[data-zoom=out]").addEventListener("click", moves["-"]);
    tools.querySelector("[data-zoom=fit]").addEventListener("click", moves[0]);
    const shown = () => {
      const { x, y } = cy.pan();
      box.dataset.view = `${Math.round(x)} ${Math.round(y)} ${cy.zoom().toFixed(3)}`;
    };
    cy.on("viewport", shown);
    shown();
    box.dataset.drawn = String(cy.nodes().length);
  };

  const zoom = (cy, by) => cy.zoom({ level: cy.zoom() * by, renderedPosition: { x: box.clientWidth / 2, y: box.clientHeight / 2 } });

  // If the document cannot be fetched, the server's drawing stays.
  fetch(box.dataset.document, { headers: { Accept: "application/json" } })
    .then((answer) => (answer.ok ? answer.json().then(draw) : undefined))
    .catch(() => undefined);
})();
