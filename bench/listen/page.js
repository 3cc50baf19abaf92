"use strict";

// Runs after the player of the page, whose `pieces`, `samples`, `playing`, `draw`, `stop` and `play` it uses.
document.addEventListener("DOMContentLoaded", () => {
  const test = JSON.parse(document.getElementById("test").textContent);
  const at = (id) => document.getElementById(id);
  const sides = ["left", "right"];
  const fields = Array.from(document.querySelectorAll(".answer"));
  const ratings = test.kind === "ratings";
  const tick = 100;
  let state = null;
  let plan = [];
  let played = [0, 0];
  let last = 0;
  let shownAt = 0;

  const normal = (code) => code.trim().replace(/\s+/g, " ").toLowerCase();
  const place = (code) => `listening-test-${test.test}-${normal(code)}`;

  function hash(text) { // FNV-1a, 32 bits
    let value = 0x811c9dc5;
    for (const letter of new TextEncoder().encode(text)) value = Math.imul(value ^ letter, 0x01000193) >>> 0;
    return value;
  }

  function stored(key) {
    try {
      return JSON.parse(localStorage.getItem(key));
    } catch {
      return null;
    }
  }

  function store(key, value) {
    try {
      localStorage.setItem(key, JSON.stringify(value));
    } catch {
      at("unkept").hidden = false;
    }
  }

  function start(code) {
    const number = hash(normal(code)) % test.plans.length;
    plan = test.plans[number];
    const fresh = { format: 1, test: test.test, listener: code.trim(), plan: number, started: new Date().toISOString(), finished: false, answers: [] };
    const kept = stored(place(code));
    state = kept && kept.test === test.test && kept.plan === number && Array.isArray(kept.answers) ? kept : fresh;
    store(`listening-test-${test.test}`, code.trim());
    at("start").hidden = true;
    show();
  }

  function show() {
    stop();
    const number = state.answers.length;
    if (number >= plan.length) {
      at("trial").hidden = true;
      at("end").hidden = false;
      at("file").textContent = fileName();
      at("save").focus();
      return;
    }
    at("trial").hidden = false;
    at("where").textContent = `Trial ${number + 1} of ${plan.length}`;
    at("progress").max = plan.length;
    at("progress").value = number;
    at("next").textContent = number + 1 < plan.length ? "Next" : "Finish";
    played = [0, 0];
    last = 0;
    shownAt = Date.now();
    samples.forEach((sample, side) => {
      sample.dataset.piece = String(plan[number][side]);
      draw(sample);
    });
    for (const input of document.querySelectorAll(".answer input")) input.checked = false;
    refresh();
    samples[0].querySelector("button").focus();
  }

  const enough = (side) => {
    const piece = pieces[plan[state.answers.length][side]];
    return played[side] >= Math.min(test.leastPlayed, (piece.beats * 60) / piece.tempo - 0.3);
  };

  function chosen() {
    const values = sides.map((side) => document.querySelector(`input[name="${ratings ? side : "choice"}"]${ratings ? "" : `[value="${side}"]`}:checked`));
    if (ratings) return values.every(Boolean) ? values.map((input) => Number(input.value)) : null;
    const found = values.find(Boolean);
    return found ? found.value : null;
  }

  function refresh() {
    const waiting = [0, 1].filter((side) => !enough(side));
    fields.forEach((field, side) => {
      for (const input of field.querySelectorAll("input")) input.disabled = ratings ? !enough(side) : waiting.length > 0;
    });
    at("next").disabled = waiting.length > 0 || chosen() === null;
    at("wait").textContent = waiting.length ? `Play ${waiting.map((side) => "AB"[side]).join(" and ")} first.` : "";
  }

  function next() {
    if (at("next").disabled) return;
    const [left, right] = plan[state.answers.length];
    state.answers.push({ left, right, answer: chosen(), seconds: Math.round((Date.now() - shownAt) / 100) / 10 });
    state.finished = state.answers.length === plan.length;
    store(place(state.listener), state);
    show();
  }

  const fileName = () => `answers-${normal(state.listener).replace(/[^\p{L}\p{N}]+/gu, "-")}.json`;

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(state, null, 1)], { type: "application/json" }));
    link.download = fileName();
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  fields.forEach((field, side) => {
    const values = ratings ? test.grades.map((grade, index) => [String(index + 1), `${index + 1} ${grade}`]) : [[sides[side], `${"AB"[side]} is better`]];
    field.classList.toggle("grades", ratings);
    field.setAttribute("role", "radiogroup");
    field.setAttribute("aria-label", ratings ? `Rating of ${"AB"[side]}` : "Preferred piece");
    for (const [value, words] of values) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      input.type = "radio";
      input.name = ratings ? sides[side] : "choice";
      input.value = value;
      input.addEventListener("change", refresh);
      label.append(input, words);
      field.append(label);
    }
  });
  at("keys").textContent = `Keys: A and B play and stop, ${ratings ? "1 to 5 rate the piece played last" : "← prefers A, → prefers B"}, Enter goes on.`;

  setInterval(() => {
    if (!playing || !state || state.answers.length >= plan.length) return;
    last = samples.indexOf(playing.sample);
    if (playing.sample.dataset.audio === "running") played[last] += tick / 1000;
    if (at("next").disabled) refresh();
  }, tick);

  document.addEventListener("keydown", (event) => {
    if (at("trial").hidden || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    const key = event.key.toLowerCase();
    const choose = (name, value) => {
      const input = document.querySelector(`input[name="${name}"][value="${value}"]`);
      if (input.disabled) return;
      input.checked = true;
      refresh();
    };
    if (key === "a" || key === "b") samples[key === "a" ? 0 : 1].querySelector("button").click();
    else if (!ratings && (key === "arrowleft" || key === "arrowright")) choose("choice", key === "arrowleft" ? "left" : "right");
    else if (ratings && /^[1-5]$/.test(key)) choose(sides[last], key);
    else if (key === "enter" && !at("next").disabled) next();
    else return;
    event.preventDefault();
  });

  at("next").addEventListener("click", next);
  at("save").addEventListener("click", save);
  at("save-now").addEventListener("click", save);
  at("enter").addEventListener("submit", (event) => {
    event.preventDefault();
    if (at("code").value.trim()) start(at("code").value);
  });

  const before = stored(`listening-test-${test.test}`);
  const given = new URLSearchParams(`code=${location.hash.slice(1)}`).get("code"); // decodes, and throws at nothing
  const letters = "bcdfghjkmnpqrstvwxz23456789";
  const random = Array.from(crypto.getRandomValues(new Uint8Array(6)), (value) => letters[value % letters.length]).join("");
  at("code").value = given || (typeof before === "string" ? before : random);
  const kept = stored(place(at("code").value));
  if (kept && Array.isArray(kept.answers) && kept.answers.length) at("begin").textContent = `Continue after ${kept.answers.length} trials`;
  at("code").addEventListener("input", () => (at("begin").textContent = "Begin"));
  at("begin").focus();
});
