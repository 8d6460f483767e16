/* Shortcuts where JavaScript is available. Every page works without it. */
"use strict";

// A form is submitted only once.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
  } else if (form.method === "post") {
    form.dataset.sent = "yes";
  }
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// "/" moves to the search box, as in other tools.
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const box = document.querySelector("input[name=q]");
    if (box) {
      event.preventDefault();
      box.focus();
      box.select();
    }
  }
});

// What an address leads to is unfolded; a browser does that by itself for what is inside, and not all of them do.
const unfold = () => {
  for (let fold = document.querySelector(":target")?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
};
unfold();
window.addEventListener("hashchange", unfold);

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

// Tick all boxes of a list on this page at once, or none.
for (const button of document.querySelectorAll("[data-choose]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const boxes = [...document.querySelectorAll(`input[type=checkbox][form="${button.dataset.choose}"]`)];
    const all = boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = !all;
    button.textContent = all ? "Choose all" : "Choose none";
  });
}

// Copy an id byte for byte, not as displayed, which may contain line breaks.
for (const button of navigator.clipboard ? document.querySelectorAll("[data-copy]") : []) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
  });
}

// Show the answer to a form under the address of its page, so that going back or reloading fetches the page instead
// of submitting again.
const { address } = document.body.dataset;
if (address) history.replaceState(null, "", address);

// Focus the reason of a refusal, so that it is read out; the filled form is right below it.
document.querySelector("main [role=alert][tabindex]")?.focus();
