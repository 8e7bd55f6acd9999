// The findings of an audit, gone through with the keyboard. Decisions stay in this browser and in a file that is
// exported and imported; `ocrmaps audit --state FILE` reads it.
"use strict";
(() => {
  const info = JSON.parse(document.getElementById("review-data").textContent);
  const items = [...document.querySelectorAll(".finding")];
  const status = document.getElementById("review-status");
  const warning = document.getElementById("review-warning");
  const only = document.getElementById("review-open");
  const slot = "ocrmaps-audit:" + info.name;
  const words = { accept: "accepted", reject: "rejected", later: "for later" };
  let decisions = { ...info.decisions };
  const made = [];
  let current = 0;

  try {
    Object.assign(decisions, JSON.parse(localStorage.getItem(slot) || "{}"));
  } catch {
    warning.hidden = false;
  }

  const keep = () => {
    try {
      localStorage.setItem(slot, JSON.stringify(decisions));
    } catch {
      warning.hidden = false;
    }
  };

  const show = () => {
    const count = { accept: 0, reject: 0, later: 0 };
    for (const item of items) {
      const decision = decisions[item.dataset.key] || "";
      if (decision) count[decision] += 1;
      item.dataset.decision = decision;
      item.querySelector(".verdict").textContent = words[decision] || "";
      for (const button of item.querySelectorAll("button"))
        button.setAttribute("aria-pressed", String(button.value === decision));
      item.hidden = only.checked && (decision === "accept" || decision === "reject") && item !== items[current];
    }
    const open = items.length - count.accept - count.reject - count.later;
    status.textContent =
      `${count.accept} accepted, ${count.reject} rejected, ${count.later} for later, ${open} open`;
  };

  const go = (to, focus = true) => {
    if (!items[to]) return;
    current = to;
    show();
    if (focus) items[to].focus({ preventScroll: true });
    items[to].scrollIntoView({ block: "center" });
  };

  const step = by => {
    let to = current + by;
    while (items[to] && items[to].hidden) to += by;
    go(to);
  };

  const decide = value => {
    const item = items[current];
    if (!item) return;
    made.push([current, decisions[item.dataset.key]]);
    if (value) decisions[item.dataset.key] = value;
    else delete decisions[item.dataset.key];
    keep();
    show();
    if (value) step(1);
  };

  // Deciding goes on to the next one, so what is taken back is mostly the one before.
  const undo = () => {
    if (!made.length) return;
    const [at, before] = made.pop();
    if (before) decisions[items[at].dataset.key] = before;
    else delete decisions[items[at].dataset.key];
    keep();
    go(at);
  };

  const keys = {
    j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
    a: () => decide("accept"), r: () => decide("reject"), l: () => decide("later"), u: undo,
  };

  document.addEventListener("keydown", event => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, summary")) return;
    event.preventDefault();
    act();
  });

  items.forEach((item, i) => {
    item.addEventListener("focusin", () => { current = i; });
    for (const button of item.querySelectorAll("button"))
      button.addEventListener("click", () => {
        current = i;
        decide(decisions[item.dataset.key] === button.value ? "" : button.value);
      });
  });

  only.addEventListener("change", show);

  document.getElementById("review-export").addEventListener("click", () => {
    const text = JSON.stringify({ ocrmaps_audit: 1, name: info.name, decisions }, null, 1) + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "decisions.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });

  document.getElementById("review-import").addEventListener("change", async event => {
    const file = event.target.files[0];
    if (!file) return;
    try {
      const read = JSON.parse(await file.text());
      if (read.ocrmaps_audit !== 1 || typeof read.decisions !== "object") throw new Error("no decisions");
      for (const [key, value] of Object.entries(read.decisions)) if (words[value]) decisions[key] = value;
      keep();
      show();
    } catch {
      status.textContent = `${file.name} holds no decisions of an audit`;
    }
    event.target.value = "";
  });

  document.getElementById("review-controls").hidden = false;
  show();
})();
