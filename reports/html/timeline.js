// Zoom, pan and selection for the pictures of the page. Without it each picture is whole and still, and the story beside
// it is complete: nothing here makes content, it only leads from the one to the other.
"use strict";

const WIDTH_MAX = 4e6;
const NEAR = 14;

// Cut off behind the microseconds, as the story does.
const clock = (ns) => {
  const ms = Math.floor(ns / 1e6).toLocaleString("en");
  const us = String(Math.floor(ns / 1e3) % 1e3).padStart(3, "0");
  return `${ms}.${us} ms`;
};

function timeline(box) {
  const data = JSON.parse(box.querySelector("script").textContent);
  const part = (name) => box.querySelector(name);
  const [pane, picture, detail, story, tools] = [".pane", ".picture", ".detail", ".story", ".tools"].map(part);
  const line = (n) => document.getElementById(`${box.dataset.timeline}-e${n}`);
  const [first, last] = [Math.min(...data.ends), Math.max(...data.ends)];
  const truly = (n) => (100 * (data.at[n] - first)) / Math.max(last - first, 1);
  let xs = data.x;
  let zoom = 1;
  let chosen = -1;

  // Events from left to right: what the arrow keys follow, and what the axis reads its times from.
  const order = data.at.map((_, n) => n).sort((a, b) => data.x[a] - data.x[b] || a - b);
  const rank = [];
  order.forEach((n, place) => (rank[n] = place));

  function timeAt(x) {
    let [low, high] = [0, order.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (xs[order[middle]] <= x) low = middle;
      else high = middle;
    }
    const [a, b] = [order[low], order[high]];
    const share = xs[b] > xs[a] ? (x - xs[a]) / (xs[b] - xs[a]) : 0;
    return data.at[a] + Math.min(Math.max(share, 0), 1) * (data.at[b] - data.at[a]);
  }

  function element(name, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function drawAxis() {
    const axis = part(".axis");
    axis.replaceChildren();
    const width = picture.clientWidth;
    const step = 110;
    for (let px = Math.floor(pane.scrollLeft / step) * step; px < pane.scrollLeft + pane.clientWidth; px += step) {
      const x = (100 * px) / width;
      axis.append(element("line", { x1: `${x}%`, x2: `${x}%`, y1: 0, y2: "100%" }));
      const label = element("text", { x: `${x}%`, dx: 4, y: 16 });
      label.textContent = clock(timeAt(x));
      axis.append(label);
    }
  }

  function zoomTo(wanted, clientX) {
    const frame = pane.getBoundingClientRect();
    const inside = clientX === undefined ? frame.width / 2 : clientX - frame.left;
    const share = (pane.scrollLeft + inside) / picture.clientWidth;
    zoom = Math.min(Math.max(wanted, 1), Math.max(WIDTH_MAX / frame.width, 1));
    picture.style.width = `${zoom * 100}%`;
    pane.scrollLeft = share * picture.clientWidth - inside;
    drawAxis();
  }

  function place(shape) {
    const { n, m } = shape.dataset;
    const x = (which) => `${xs[which]}%`;
    if (shape.tagName === "line") {
      shape.setAttribute("x1", x(n));
      shape.setAttribute("x2", x(m ?? n));
    } else {
      shape.setAttribute("x", x(n));
      if (m !== undefined) shape.setAttribute("width", `${Math.max(xs[m] - xs[n], 0)}%`);
    }
  }

  function showTruly(wanted) {
    xs = wanted ? data.at.map((_, n) => truly(n)) : data.x;
    picture.querySelectorAll("[data-n]").forEach(place);
    drawAxis();
  }

  function show(n) {
    const px = (xs[n] / 100) * picture.clientWidth;
    if (px < pane.scrollLeft + 20 || px > pane.scrollLeft + pane.clientWidth - 20) {
      pane.scrollLeft = px - pane.clientWidth / 2;
    }
    const row = line(n);
    if (row.classList.contains("k-disk")) showDisk(true);
    const [top, frame] = [row.getBoundingClientRect().top, story.getBoundingClientRect()];
    if (top < frame.top || top > frame.bottom - 30) story.scrollTop += top - frame.top - frame.height / 3;
  }

  function choose(n) {
    if (!(n >= 0 && n < data.at.length)) return;
    story.querySelector(".on")?.classList.remove("on");
    chosen = n;
    line(n).classList.add("on");
    const text = (name) => line(n).querySelector(name).textContent;
    const head = document.createElement("b");
    head.textContent = `${text(".where")} at ${clock(data.at[n])}`;
    const exact = document.createElement("div");
    exact.className = "quiet";
    exact.append(`${data.at[n].toLocaleString("en")} ns, event ${n + data.before + 1}, trace hash `);
    const hash = document.createElement("code");
    hash.textContent = text(".hash");
    exact.append(hash);
    detail.replaceChildren(head, `: ${text(".words")}`, exact);
    const cursor = part(".cursor");
    cursor.dataset.n = n;
    place(cursor);
    cursor.removeAttribute("visibility");
    show(n);
  }

  /** The event at a place of the picture: the shape itself, or the nearest event of the lane. */
  function eventAt(event) {
    const shape = event.target.closest?.("[data-n]:not([data-back])");
    if (shape) return Number(shape.classList.contains("arrow") ? shape.dataset.m : shape.dataset.n);
    const frame = picture.getBoundingClientRect();
    const lane = Math.floor((event.clientY - frame.top - data.top) / data.row);
    const px = event.clientX - frame.left;
    let [best, distance] = [-1, NEAR];
    data.lane.forEach((row, n) => {
      const away = Math.abs((xs[n] / 100) * frame.width - px);
      if (row === lane && away < distance) [best, distance] = [n, away];
    });
    return best;
  }

  function showDisk(wanted) {
    story.classList.toggle("no-disk", !wanted);
    part("[data-do=disk]").checked = wanted;
  }

  function step(by) {
    choose(chosen < 0 ? order[0] : order[Math.min(Math.max(rank[chosen] + by, 0), order.length - 1)]);
  }

  const deeds = {
    in: () => zoomTo(zoom * 2),
    out: () => zoomTo(zoom / 2),
    all: () => zoomTo(1),
    back: () => step(-1),
    next: () => step(1),
    truly: (box) => showTruly(box.checked),
    disk: (box) => showDisk(box.checked),
  };
  tools.hidden = false;
  tools.addEventListener("click", (event) => {
    const tool = event.target.closest("[data-do]");
    if (tool) deeds[tool.dataset.do](tool);
  });

  const keys = { "+": deeds.in, "=": deeds.in, "-": deeds.out, "0": deeds.all, ArrowLeft: deeds.back, ArrowRight: deeds.next,
    Home: () => choose(order[0]), End: () => choose(order.at(-1)) };
  pane.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  // A wheel scrolls the page, as anywhere, unless it is meant for the picture: Ctrl (a pinch on a touchpad), or focus.
  pane.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && document.activeElement !== pane) return;
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
    event.preventDefault();
    zoomTo(zoom * Math.exp(-Math.sign(event.deltaY) * 0.25), event.clientX);
  }, { passive: false });

  const fingers = new Map();
  let moved = 0;
  let apart = 0;
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  };
  pane.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, event);
    moved = 0;
    if (fingers.size === 2) apart = spread();
  });
  window.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    fingers.set(event.pointerId, event);
    if (fingers.size === 2) {
      const now = spread();
      if (apart > 0) zoomTo((zoom * now) / apart, event.clientX);
      apart = now;
    } else if (event.pointerType === "mouse") {
      moved += Math.abs(event.clientX - before.clientX);
      pane.classList.toggle("dragged", moved > 3);
      if (moved > 3) pane.scrollLeft -= event.clientX - before.clientX;
    }
  });
  for (const end of ["pointerup", "pointercancel"]) {
    window.addEventListener(end, (event) => {
      fingers.delete(event.pointerId);
      pane.classList.remove("dragged");
    });
  }
  pane.addEventListener("click", (event) => {
    if (moved <= 3) choose(eventAt(event));
  });
  story.addEventListener("click", (event) => {
    const row = event.target.closest("li");
    if (!row) return;
    event.preventDefault();
    choose(Number(row.dataset.e));
  });
  pane.addEventListener("scroll", drawAxis);
  window.addEventListener("resize", drawAxis);
  drawAxis();
}

document.querySelectorAll("[data-timeline]").forEach(timeline);
