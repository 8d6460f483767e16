/* What is live: when something is recorded that can change it, the page asks again for this part of itself. */
"use strict";

(() => {
  const part = document.getElementById("live");
  const state = document.getElementById("live-state");
  if (!part || new URLSearchParams(location.search).has("at")) return;
  const hears = part.dataset.hears.split(" ");
  const pause = Number(part.dataset.pause); // milliseconds: what costs much is not asked for all the time
  const ask = () => htmx.trigger(document.getElementById("live"), "recorded");
  let waiting;
  // Once for all that comes meanwhile: a busy log must neither keep it from asking, nor have it ask all the time.
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
    state.textContent = why ? `Not live: ${why} What stands here is from before ${asked}. It is asked for again by itself.` : "";
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
    // A browser tries again by itself unless it was refused, as while the store is away.
    tail.addEventListener("error", () => {
      if (tail.readyState !== EventSource.CLOSED) return;
      clearTimeout(again);
      again = setTimeout(listen, 5000);
    });
  };
  // A deadline that passes records nothing.
  let every;
  const begin = () => {
    leave();
    every = setInterval(ask, Math.max(20_000, pause));
    listen();
  };
  const leave = () => {
    clearInterval(every);
    clearTimeout(again);
    tail?.close();
  };
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => event.persisted && begin());
  // A tab that nobody looks at neither listens nor asks; when somebody does, it asks first.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return leave();
    begin();
    return ask();
  });

  // What was unfolded stays unfolded.
  const folds = () => [...document.querySelectorAll("#live details")];
  const named = (fold) => fold.id || fold.querySelector("summary")?.textContent.replace(/\d+/g, "");
  let unfolded = new Map();
  document.addEventListener("htmx:before:swap", () => { unfolded = new Map(folds().map((one) => [named(one), one.open])); });
  document.addEventListener("htmx:after:swap", () => {
    for (const one of folds()) if (unfolded.has(named(one))) one.open = unfolded.get(named(one));
  });
  if (!document.hidden) begin();
})();
