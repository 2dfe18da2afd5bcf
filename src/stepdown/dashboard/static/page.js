// What htmx does not do: say whether the page is still told what happens, write times as the reader's clock has them, and open
// a receipt. Nothing here decides anything, and without it the page can be read all the same.
(() => {
  "use strict";

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

  function localTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      const text = Date.now() - at < 86400000 / 2 ? clock.format(at) : day.format(at);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  function elapsed(seconds) {
    if (seconds < 60) return `${Math.floor(seconds)} s`;
    const minutes = Math.floor(seconds / 60);
    return minutes < 60 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }

  function tick() {
    for (const one of document.querySelectorAll("[data-since]")) {
      one.textContent = elapsed(Math.max(0, Date.now() / 1000 - Number(one.dataset.since)));
    }
  }

  let state = ["waiting", "connecting"];

  function connection(name, text) {
    if (name) state = [name, text];
    const shown = document.getElementById("connection");
    if (shown && (shown.dataset.state !== state[0] || shown.textContent !== state[1])) {
      shown.dataset.state = state[0];
      shown.textContent = state[1];
    }
  }

  function newer() {
    // A gateway of another version was started: its page is another one, too.
    const served = document.querySelector("[data-server]");
    if (served && served.dataset.server !== document.body.dataset.version) location.reload();
  }

  function fresh() {
    connection();
    localTimes(document);
    tick();
    newer();
  }

  document.addEventListener("htmx:sseOpen", () => connection("live", "live"));
  document.addEventListener("htmx:sseError", () => connection("lost", "not connected; trying again"));
  document.addEventListener("htmx:sseMessage", fresh);

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id !== "receipt-body") return;
    localTimes(event.target);
    const dialog = document.getElementById("receipt");
    if (!dialog.open) dialog.showModal();
    document.getElementById("receipt-h")?.focus();
  });

  document.addEventListener("click", (event) => {
    const dialog = document.getElementById("receipt");
    if (event.target === dialog) dialog.close(); // beside it
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("select[data-submits]")) event.target.form.submit();
  });

  document.addEventListener("htmx:sendError", () => connection("lost", "not connected; trying again"));

  fresh();
  setInterval(tick, 1000);
})();
