/* Live updates: when a fact is recorded that can change this part of the page, the page fetches the part again. */
"use strict";

(() => {
  const part = document.getElementById("live");
  const state = document.getElementById("live-state");
  if (!part || new URLSearchParams(location.search).has("at")) return;
  const hears = part.dataset.hears.split(" ");
  const pause = Number(part.dataset.pause); // milliseconds between two updates; longer for expensive parts
  // What the server is still computing is asked for again soon.
  let due;
  const askWhenDue = () => {
    const soon = Number(document.getElementById("live")?.dataset.due);
    clearTimeout(due);
    if (soon && !document.hidden) due = setTimeout(ask, soon);
  };
  const ask = () => htmx.trigger(document.getElementById("live"), "recorded");
  let waiting;
  // One update for all facts that arrive meanwhile: a busy log must neither prevent updates nor cause them all the time.
  const recorded = (type) => {
    if (!hears.includes(type.split(".")[0])) return;
    waiting ??= setTimeout(() => {
      waiting = undefined;
      ask();
    }, pause);
  };

  // A page about a revocation must not show old state as current.
  let seen = new Date();
  const say = (why) => {
    const asked = seen.toISOString().replace(/\.\d+/, "");
    state.textContent = why ? `Not live: ${why} This page is from before ${asked}. It updates itself when it is live again.` : "";
    state.hidden = !why;
  };
  const answered = (event) => {
    const status = (event.detail?.ctx ?? event.detail)?.response?.status;
    if (status === 401) say("your session has ended; sign in again in another tab.");
    else if (status >= 400) say(`the server answers ${status}.`);
    else if (status) {
      seen = new Date();
      say("");
    }
  };
  document.addEventListener("htmx:after:request", answered);
  document.addEventListener("htmx:response:error", answered);
  document.addEventListener("htmx:error", () => say("the server does not answer."));

  let tail;
  let again;
  const listen = () => {
    tail = new EventSource("/v1/live");
    tail.addEventListener("fact", (event) => recorded(JSON.parse(event.data).event?.type ?? ""));
    tail.addEventListener("finding", () => recorded("finding"));
    tail.addEventListener("skipped", () => recorded(hears[0]));
    // A browser reconnects by itself unless the request was refused, such as while the store is unavailable.
    tail.addEventListener("error", () => {
      if (tail.readyState !== EventSource.CLOSED) return;
      clearTimeout(again);
      again = setTimeout(listen, 5000);
    });
  };
  // A deadline passes without a fact, so update regularly.
  let every;
  const begin = () => {
    leave();
    every = setInterval(ask, Math.max(20_000, pause));
    askWhenDue();
    listen();
  };
  const leave = () => {
    clearInterval(every);
    clearTimeout(due);
    clearTimeout(again);
    tail?.close();
  };
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => event.persisted && begin());
  // A hidden tab neither listens nor updates; once it is visible again, it updates first.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return leave();
    begin();
    return ask();
  });

  // Keep open what the reader has unfolded.
  const folds = () => [...document.querySelectorAll("#live details")];
  const named = (fold) => fold.id || fold.querySelector("summary")?.textContent.replace(/\d+/g, "");
  let unfolded = new Map();
  document.addEventListener("htmx:before:swap", () => { unfolded = new Map(folds().map((one) => [named(one), one.open])); });
  document.addEventListener("htmx:after:swap", () => {
    for (const one of folds()) if (unfolded.has(named(one))) one.open = unfolded.get(named(one));
    askWhenDue();
  });
  if (!document.hidden) begin();
})();
