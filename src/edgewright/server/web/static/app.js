/* What makes the pages live and smoother; without it everything works by plain links and forms. */
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const isTyping = (element) => element instanceof Element && element.closest("input, textarea, select, [contenteditable]");

  /* --- Live: what changed is fetched again and morphed in --- */

  const DEBOUNCE = 300;
  const RETRY_FIRST = 1_000;
  const RETRY_LAST = 30_000;
  // The server says every 20 s that it is there (HEARTBEAT_SECONDS in web/live.py).
  const SILENCE = 50_000;
  const PATIENCE = 30_000;

  // What a person did to the page stays: what is open, what was typed, what is chosen.
  const keep = {
    beforeNodeMorphed(old) {
      return !(old instanceof HTMLFormElement && old.dataset.touched !== undefined);
    },
    beforeAttributeUpdated(name, element) {
      return !(name === "open" && (element instanceof HTMLDetailsElement || element instanceof HTMLDialogElement));
    },
  };

  // What a form was answered with is under the address of the form, where nothing can be fetched.
  const { address } = document.body.dataset;
  let took = 0;
  let refreshing = false;
  let again = false;

  async function refresh() {
    if (refreshing) {
      again = true;
      return;
    }
    refreshing = true;
    const begun = performance.now();
    try {
      const answer = await fetch(address, {
        headers: { accept: "text/html", "x-edgewright-live": "1" }, cache: "no-store", signal: AbortSignal.timeout(PATIENCE),
      });
      if (answer.redirected || answer.status === 401) {
        leave();
        return;
      }
      if (answer.ok) {
        put(new DOMParser().parseFromString(await answer.text(), "text/html"));
        failures = 0;
        tell("stale", "");
      } else if (answer.status === 404) {
        tell("stale", "What this page showed is no longer there");
      } else {
        later();
      }
    } catch (error) {
      // No connection, a broken one, or none in time. Events that still come do not make the page true.
      if (!(error instanceof TypeError || error instanceof DOMException)) {
        throw error;
      }
      later();
    } finally {
      took = Math.min(performance.now() - begun, 5_000);
      refreshing = false;
    }
    if (again) {
      again = false;
      soon();
    }
  }

  // What could not be fetched is fetched again, and until then nobody is to believe the page.
  let failures = 0;
  function later() {
    again = false;
    failures += 1;
    tell("stale", "Not up to date: asking again");
    within(Math.min(RETRY_FIRST * 2 ** failures, RETRY_LAST));
  }

  // Whoever is signed out is led to sign in, but not while something is typed that would be lost.
  function leave() {
    if (document.querySelector("form[data-touched]")) {
      tell("lost", "Signed out: load the page again to go on");
    } else {
      location.replace(address);
    }
  }

  function put(fresh) {
    for (const part of document.querySelectorAll("#live, [data-live]")) {
      const next = part.id && fresh.getElementById(part.id);
      if (next) {
        Idiomorph.morph(part, next, { morphStyle: "outerHTML", ignoreActiveValue: true, callbacks: keep });
        const now = byId(part.id);
        if (now) {
          htmx.process(now);
          dress(now);
        }
      }
    }
    if (fresh.title) {
      document.title = fresh.title;
    }
  }

  // A page that takes long to make is made less often: at most a fifth of the time goes into it. What changes
  // all the time puts nothing off: the earliest moment asked for holds.
  let timer;
  let due = Infinity;
  function within(delay) {
    const at = performance.now() + delay;
    if (at < due) {
      clearTimeout(timer);
      due = at;
      timer = setTimeout(() => {
        due = Infinity;
        if (!document.hidden) {
          refresh();
        }
      }, delay);
    }
  }
  const soon = () => within(Math.max(DEBOUNCE, 4 * took));

  function live(topics) {
    let delay = RETRY_FIRST;
    let source;
    let retry;
    let watch;
    let wasLost = false;
    // What changed since the page was made, before anybody listened: told at the first connection.
    let since = `&since=${document.body.dataset.seen}`;

    function connect() {
      shut();
      source = new EventSource(`/live?topics=${encodeURIComponent(topics)}${since}`);
      since = "";
      listen();
      source.addEventListener("ready", () => {
        delay = RETRY_FIRST;
        tell("lost", "");
        listen();
        if (wasLost) {
          wasLost = false;
          soon();
        }
      });
      source.addEventListener("changed", () => {
        listen();
        soon();
      });
      source.addEventListener("here", listen);
      source.addEventListener("end", (event) => {
        if (event.data === "signed-out") {
          shut();
          leave();
        } else {
          lost();
        }
      });
      source.addEventListener("error", lost);
    }

    function shut() {
      source?.close();
      clearTimeout(retry);
      clearTimeout(watch);
    }

    // A link that was cut says nothing, not even that it was cut.
    function listen() {
      clearTimeout(watch);
      watch = setTimeout(lost, SILENCE);
    }

    function lost() {
      shut();
      wasLost = true;
      tell("lost", "Not live: connecting again");
      retry = setTimeout(connect, delay * (0.75 + Math.random() / 2));
      delay = Math.min(delay * 2, RETRY_LAST);
    }

    function back() {
      wasLost = true;
      connect();
    }

    // A page in the background gives its connection back, and one opened there waits with it: browsers have
    // few of them for one address, and without a free one no page loads at all.
    if (document.hidden) {
      wasLost = true;
    } else {
      connect();
    }
    document.addEventListener("visibilitychange", () => (document.hidden ? shut() : back()));
    addEventListener("online", () => { if (wasLost && !document.hidden) { connect(); } });
    addEventListener("pagehide", shut);
    addEventListener("pageshow", (event) => { if (event.persisted && !document.hidden) { back(); } });
  }

  // Why the page may not be true, if it may not: the first of these that holds.
  const notes = { lost: "", stale: "" };
  function tell(kind, text) {
    notes[kind] = text;
    const note = byId("offline");
    if (note) {
      note.textContent = notes.lost || notes.stale;
      note.hidden = !note.textContent;
    }
  }

  /* --- Times, by the rules of web/moments.py --- */

  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

  function relative(moment, now) {
    const seconds = Math.abs(now - moment) / 1000;
    const isAhead = moment > now;
    if (seconds < 45) {
      return isAhead ? "in a moment" : "just now";
    }
    if (seconds >= 30 * 86_400) {
      return day.format(moment);
    }
    const days = Math.round(seconds / 86_400);
    const text = seconds < 3_600 ? `${Math.max(1, Math.round(seconds / 60))} min`
      : seconds < 86_400 ? `${Math.round(seconds / 3_600)} h`
      : days === 1 ? "1 day" : `${days} days`;
    return isAhead ? `in ${text}` : `${text} ago`;
  }

  function times(root) {
    const now = Date.now();
    for (const element of root.querySelectorAll("time[data-relative]")) {
      const moment = Date.parse(element.dateTime);
      const text = relative(moment, now);
      if (element.textContent !== text) {
        element.textContent = text;
      }
      element.title = exact.format(moment);
    }
  }

  /* --- Parts that need a script --- */

  function dress(root) {
    times(root);
    for (const button of root.querySelectorAll("[data-copy]")) {
      button.hidden = false;
    }
  }

  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    const label = button.querySelector("span");
    const before = label ? label.textContent : button.getAttribute("aria-label");
    const say = (words) => { if (label) { label.textContent = words; } else { button.setAttribute("aria-label", words); button.title = words; } };
    if (before !== "Copied") {
      say("Copied");
      setTimeout(() => { say(before); if (!label) { button.removeAttribute("title"); } }, 1_600);
    }
  }

  function switchTheme() {
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax; secure`;
  }

  function showDialog(id, event) {
    const dialog = byId(id);
    if (dialog instanceof HTMLDialogElement && !dialog.open) {
      event?.preventDefault();
      dialog.showModal();
    }
  }

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const button = target?.closest("button");
    if (button?.dataset.copy !== undefined) {
      copy(button);
    } else if (button?.dataset.themeSwitch !== undefined) {
      switchTheme();
    } else if (button?.dataset.shortcuts !== undefined) {
      showDialog("shortcuts");
    } else if (button?.dataset.dialog) {
      showDialog(button.dataset.dialog, event);
    } else if (button?.dataset.close !== undefined) {
      const dialog = button.closest("dialog");
      if (dialog?.open) {
        event.preventDefault();
        dialog.close();
      }
    } else if (target instanceof HTMLDialogElement && target.open) {
      target.close(); // The backdrop.
    }
  });

  document.addEventListener("input", (event) => {
    const form = event.target instanceof Element && event.target.closest("form");
    if (form) {
      form.dataset.touched = "";
    }
  });

  // A form that was sent is sent once.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || form.method !== "post" || event.defaultPrevented || event.submitter?.dataset.again !== undefined) {
      return;
    }
    if (form.dataset.sent !== undefined) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "";
    setTimeout(() => { delete form.dataset.sent; }, 10_000);
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
    }
  });

  /* --- Keyboard --- */

  // The search box: arrows go through what was found, Escape shuts it.
  const box = document.querySelector(".find");
  box?.addEventListener("keydown", (event) => {
    const found = byId("found");
    const links = [byId("find"), ...found.querySelectorAll("a")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && links.length > 1) {
      event.preventDefault();
      const next = (links.indexOf(document.activeElement) + step + links.length) % links.length;
      links[next].focus();
    } else if (event.key === "Escape") {
      byId("find").focus();
      found.classList.add("shut");
    }
  });
  box?.addEventListener("input", () => byId("found").classList.remove("shut"));

  let waitsForSecond = 0;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) {
      return;
    }
    if (event.key === "/") {
      const field = byId("find");
      if (field) {
        event.preventDefault();
        field.focus();
        field.select();
      }
    } else if (event.key === "?") {
      showDialog("shortcuts");
    } else if (Date.now() < waitsForSecond && /^[a-z]$/.test(event.key)) {
      waitsForSecond = 0;
      const link = document.querySelector(`nav a[data-keys="${event.key}"]`);
      if (link) {
        event.preventDefault();
        location.assign(link.href);
      }
    } else {
      waitsForSecond = event.key === "g" ? Date.now() + 1_500 : 0;
    }
  });

  /* --- htmx: every change carries the token of the page --- */

  document.addEventListener("htmx:configRequest", (event) => {
    const csrf = document.querySelector('meta[name="csrf"]')?.content;
    if (csrf) {
      event.detail.headers["x-csrf-token"] = csrf;
    }
  });
  document.addEventListener("htmx:afterSwap", (event) => dress(event.target));
  // A fragment that says what is wrong is shown like any other.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if ([400, 409, 412, 422].includes(event.detail.xhr.status)) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });

  /* --- Begin --- */

  dress(document);
  setInterval(() => times(document), 15_000);
  for (const button of document.querySelectorAll("[data-theme-switch], [data-shortcuts]")) {
    button.hidden = false;
  }
  document.querySelector("[data-focus]")?.focus();
  if (document.body.dataset.topics?.trim() && document.querySelector("#live, [data-live]")) {
    live(document.body.dataset.topics.trim().split(/\s+/).join(","));
  }
})();
