// Looks for news every few seconds, and shows them; what somebody is typing is never taken away.
"use strict";
(() => {
  const tag = document.body.dataset.tag;
  if (!tag) return;
  const seconds = 10;
  let offered = false;

  const isInUse = () =>
    document.querySelector("details[open] form, .dirty") !== null ||
    ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement && document.activeElement.tagName);

  document.addEventListener("input", (event) => event.target.classList.add("dirty"));

  // Pressing twice does not send twice.
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
    document.body.classList.add("sending");
  });

  const offer = (text) => {
    if (offered) return;
    offered = true;
    const link = document.createElement("a");
    link.href = "/";
    link.className = "news";
    link.setAttribute("role", "status");
    link.textContent = text;
    document.body.append(link);
  };

  const look = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("/tag", { cache: "no-store", credentials: "same-origin" });
      document.body.classList.remove("lost");
      if (answer.status === 401) {
        if (isInUse()) offer("You were signed out");
        else location.replace("/login");
      } else if (answer.ok && (await answer.text()) !== tag) {
        if (isInUse()) offer("Something has changed: show it");
        else location.replace("/");
      }
    } catch {
      document.body.classList.add("lost");
    }
  };
  setInterval(look, seconds * 1000);
  document.addEventListener("visibilitychange", look);
})();
