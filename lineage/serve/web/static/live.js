/* What is live: when something is recorded that can change it, the page asks again for this part of itself. */
"use strict";

(() => {
  const part = document.getElementById("live");
  if (!part || new URLSearchParams(location.search).has("at")) return;
  let waiting;
  const heard = (event) => {
    const told = JSON.parse(event.data);
    if (!/^(revocation|receiver|token|delegation|action)\./.test(told.event?.type ?? "")) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => htmx.trigger(document.getElementById("live"), "recorded"), 200);
  };
  let tail;
  const listen = () => {
    tail = new EventSource("/v1/live");
    tail.addEventListener("fact", heard);
  };
  window.addEventListener("pagehide", () => tail?.close());
  window.addEventListener("pageshow", (event) => event.persisted && listen());
  listen();
})();
