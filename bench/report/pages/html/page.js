"use strict";

function sortBy(table, column, direction) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const key = (row) => {
    const cell = row.cells[column];
    const value = cell.dataset.value;
    return value === undefined || value === "" ? cell.textContent.trim() : Number(value);
  };
  const empty = (value) => value === "" || value === "n/a";
  rows.sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (empty(x) || empty(y)) return Number(empty(x)) - Number(empty(y));
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return direction === "ascending" ? order : -order;
  });
  body.append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction);
      sortBy(table, column, direction);
    });
  });
}

const pieces = JSON.parse(document.getElementById("pieces").textContent);
const [ONSET, DURATION, PITCH, VELOCITY, SECOND] = [0, 1, 2, 3, 4];
const LOOKAHEAD_S = 0.6;
let audio = null;
let playing = null;

function draw(sample, beat) {
  const canvas = sample.querySelector("canvas");
  const piece = pieces[Number(sample.dataset.piece)];
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || !height) return;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const styles = getComputedStyle(document.documentElement);
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  const [low, high] = [piece.low - 2, piece.high + 2];
  const x = (value) => (value / piece.beats) * width;
  const y = (pitch) => height - ((pitch - low) / (high - low)) * height;
  pen.strokeStyle = styles.getPropertyValue("--line");
  for (let pitch = Math.ceil(low / 12) * 12; pitch < high; pitch += 12) {
    pen.beginPath();
    pen.moveTo(0, y(pitch));
    pen.lineTo(width, y(pitch));
    pen.stroke();
  }
  const colours = dark ? [piece.dark, piece.secondDark] : [piece.colour, piece.second];
  const thickness = Math.max(2, height / (high - low));
  for (const note of piece.notes) {
    pen.fillStyle = colours[note[SECOND] || 0];
    pen.globalAlpha = 0.4 + (0.6 * note[VELOCITY]) / 127;
    pen.fillRect(x(note[ONSET]), y(note[PITCH]) - thickness / 2, Math.max(1.5, x(note[DURATION]) - 0.5), thickness);
  }
  pen.globalAlpha = 1;
  if (beat !== undefined) {
    pen.fillStyle = styles.getPropertyValue("--ink");
    pen.fillRect(x(beat), 0, 1.5, height);
  }
}

function sound(context, out, note, begin, beatS) {
  const length = Math.max(0.08, note[DURATION] * beatS);
  const gain = context.createGain();
  const loud = 0.16 * (note[VELOCITY] / 127) ** 1.5 + 0.01;
  gain.gain.setValueAtTime(0, begin);
  gain.gain.linearRampToValueAtTime(loud, begin + 0.008);
  gain.gain.exponentialRampToValueAtTime(Math.max(loud * 0.25, 0.0005), begin + length);
  gain.gain.linearRampToValueAtTime(0, begin + length + 0.06);
  const tone = context.createOscillator();
  tone.type = "triangle";
  tone.frequency.value = 440 * 2 ** ((note[PITCH] - 69) / 12);
  tone.connect(gain).connect(out);
  tone.start(begin);
  tone.stop(begin + length + 0.08);
}

function stop() {
  if (!playing) return;
  const { sample, button, out, timer } = playing;
  playing = null;
  clearInterval(timer);
  out.disconnect();
  button.setAttribute("aria-pressed", "false");
  button.textContent = "Play";
  delete sample.dataset.audio;
  draw(sample);
}

async function play(sample, button) {
  stop();
  audio = audio || new AudioContext();
  const piece = pieces[Number(sample.dataset.piece)];
  const out = audio.createDynamicsCompressor();
  out.connect(audio.destination);
  const mine = { sample, button, out, timer: 0 };
  playing = mine;
  button.setAttribute("aria-pressed", "true");
  button.textContent = "Stop";
  await audio.resume();
  if (playing !== mine) return;
  sample.dataset.audio = audio.state;
  const beatS = 60 / piece.tempo;
  const start = audio.currentTime + 0.08;
  let next = 0;
  const step = () => {
    const now = audio.currentTime - start;
    while (next < piece.notes.length && piece.notes[next][ONSET] * beatS < now + LOOKAHEAD_S) {
      const note = piece.notes[next++];
      sound(audio, out, note, Math.max(audio.currentTime, start + note[ONSET] * beatS), beatS);
    }
    sample.dataset.played = String(next);
    draw(sample, Math.max(0, now / beatS));
    if (now > piece.beats * beatS + 0.3) stop();
  };
  step();
  if (playing === mine) mine.timer = setInterval(step, 60);
}

const samples = Array.from(document.querySelectorAll(".sample"));
for (const sample of samples) {
  const button = sample.querySelector("button");
  button.addEventListener("click", () => {
    if (playing && playing.sample === sample) stop();
    else play(sample, button);
  });
}

function drawAll() {
  for (const sample of samples) if (!playing || playing.sample !== sample) draw(sample);
}
new ResizeObserver(drawAll).observe(document.body);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
drawAll();

function openFold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  if (target) target.scrollIntoView();
}
window.addEventListener("hashchange", openFold);
window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details.fold")) part.open = true;
});
openFold();
