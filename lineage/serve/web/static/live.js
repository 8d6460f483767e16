/* What is live: when something is recorded that can change it, the page asks again for this part of itself. */
"use strict";

(() => {
  const part = document.getElementById("live");
  const state = document.getElementById("live-state");
  if (!part || new URLSearchParams(location.search).has("at")) return;
  let waiting;
  const heard = (event) => {
    const told = JSON.parse(event.data);
    if (!/^(revocation|receiver|token|delegation|action)\./.test(told.event?.type ?? "")) return;
    // Once for all that comes meanwhile: a busy log must neither keep it from asking, nor have it ask all the time.
    waiting ??= setTimeout(() => {
      waiting = undefined;
      htmx.trigger(document.getElementById("live"), "recorded");
    }, 500);
  };

  // Whoever follows a revocation must not take what is old for what is.
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
    tail.addEventListener("fact", heard);
    // A browser tries again by itself unless it was refused, as while the store is away.
    tail.addEventListener("error", () => {
      if (tail.readyState !== EventSource.CLOSED) return;
      clearTimeout(again);
      again = setTimeout(listen, 5000);
    });
  };
  const leave = () => {
    clearTimeout(again);
    tail?.close();
  };
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => event.persisted && listen());
  listen();
})();
