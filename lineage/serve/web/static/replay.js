/* Shows the graph of principals at another time, or expanded, without leaving the page. */
"use strict";

(() => {
  const box = document.getElementById("replay");
  const slider = box.querySelector("input");
  const shown = box.querySelector("output");
  const play = box.querySelector("button");
  const PARTS = ["said", "drawn", "rows", "hours"];
  const STEPS = 48; // steps of a day when it is played
  const PAUSE = 600; // milliseconds between two steps

  const words = () => `${new Date(slider.value * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;
  const say = () => {
    shown.value = words();
    slider.setAttribute("aria-valuetext", words());
  };

  // Only the latest request counts; answers to earlier ones are dropped.
  let asking;
  const load = async (address) => {
    asking?.abort();
    asking = new AbortController();
    const answer = await fetch(address, { signal: asking.signal, headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const at = document.querySelector("#drawn .drawing");
    const place = at && [at.scrollLeft, at.scrollTop];
    for (const id of PARTS) {
      const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
      if (!fresh) throw new Error("no such page");
      old.replaceChildren(...document.adoptNode(fresh).childNodes);
    }
    const now = document.querySelector("#drawn .drawing");
    if (place && now) now.scrollTo(...place);
    history.replaceState(null, "", address);
    document.dispatchEvent(new Event("drawn"));
  };
  const go = (address) => load(address).catch((fault) => {
    if (fault.name !== "AbortError") location.assign(address);
  });
  const moved = () => {
    const address = new URL(location.href);
    address.searchParams.set("at", new Date(slider.value * 1000).toISOString().replace(/\.\d+/, ""));
    return go(address.pathname + address.search);
  };

  let waiting;
  slider.addEventListener("input", () => {
    say();
    clearTimeout(waiting);
    waiting = setTimeout(moved, 150);
  });

  let playing;
  const stop = () => {
    playing = undefined;
    play.textContent = "Play";
  };
  const step = async (turn) => {
    if (Number(slider.value) >= Number(slider.max)) return stop();
    slider.value = Number(slider.value) + (slider.max - slider.min) / STEPS;
    say();
    await Promise.all([moved(), new Promise((done) => setTimeout(done, PAUSE))]);
    return playing === turn && !document.hidden ? step(turn) : stop();
  };
  play.addEventListener("click", () => {
    if (playing) return stop();
    if (Number(slider.value) >= Number(slider.max)) slider.value = slider.min;
    playing = {};
    play.textContent = "Pause";
    return step(playing);
  });

  // Following the sign on a principal expands the graph and keeps the keyboard focus.
  document.getElementById("drawn").addEventListener("click", async (event) => {
    const sign = event.target.closest(".dg-sign");
    if (!sign || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    const id = sign.closest("[data-id]").dataset.id;
    await go(sign.getAttribute("href"));
    const node = [...document.querySelectorAll("#drawn [data-id]")].find((one) => one.dataset.id === id);
    (node?.querySelector(".dg-sign") ?? node?.querySelector("a"))?.focus();
  });

  say();
  box.hidden = false;
})();
