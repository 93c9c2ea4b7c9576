// Point clouds to turn, on plain canvases: no library, no WebGL, no request.
// A figure holds its still, which is all there is without a script, and JSON of clouds and views.
// All views of a figure share one camera, which starts where the still was taken from.
"use strict";

const TURN = 0.008, MOST_ZOOM = 12, SHADE = 12, DISC = 7;

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function readCloud(raw) {
  const steps = new Uint16Array(bytes(raw.coords).buffer);
  const count = steps.length / 3, coords = new Float32Array(steps.length);
  for (let i = 0; i < steps.length; i++) coords[i] = raw.low[i % 3] + raw.step * steps[i];
  return { ...raw, coords, count };
}

function readView(raw, clouds) {
  const view = { ...raw, colours: new Uint8Array(3 * clouds[raw.cloud].count) };
  if (raw.colours) view.colours = bytes(raw.colours);
  if (raw.numbers) view.numbers = new Int16Array(bytes(raw.numbers).buffer);
  if (raw.features) {
    view.features = new Int8Array(bytes(raw.features).buffer);
    view.lengths = lengths(view.features, raw.dims);
  }
  return view;
}

function lengths(rows, dims) {
  const found = new Float32Array(rows.length / dims);
  for (let i = 0; i < rows.length; i++) found[Math.floor(i / dims)] += rows[i] * rows[i];
  return found.map((square) => Math.sqrt(square) || 1);
}

// The camera of a cloud after turning by yaw about the vertical and by pitch about its own right.
function cameraOf(cloud, state) {
  const [right, down, forward] = cloud.axes;
  const distance = [0, 1, 2].reduce((s, k) => s + (cloud.middle[k] - cloud.origin[k]) * forward[k], 0);
  const target = cloud.origin.map((o, k) => o + distance * forward[k]);
  const start = Math.asin(Math.max(-1, Math.min(1, -forward[2])));
  const pitch = Math.max(-1.55 - start, Math.min(1.55 - start, state.pitch));
  const c = Math.cos(pitch), s = Math.sin(pitch);
  // Raising the eye turns the look downwards: forward towards down.
  const tilted = [right, down.map((d, k) => c * d - s * forward[k]), forward.map((f, k) => c * f + s * down[k])];
  const cy = Math.cos(state.yaw), sy = Math.sin(state.yaw);
  const axes = tilted.map(([x, y, z]) => [cy * x - sy * y, sy * x + cy * y, z]);
  const away = distance / state.zoom;
  return { axes, origin: target.map((t, k) => t - away * axes[2][k]), focal: cloud.focal };
}

// Draw a view; of each pixel the point that owns it is kept for the pointer.
function draw(view, cloud, state, scale) {
  const canvas = view.canvas, across = Math.max(canvas.clientWidth, 1);
  const width = Math.round(across * scale), height = Math.max(Math.round(width * cloud.aspect), 1);
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const { axes: [r, d, f], origin: o, focal } = cameraOf(cloud, state);
  const depth = new Float32Array(width * height).fill(Infinity), owner = new Int32Array(width * height).fill(-1);
  const places = new Float32Array(2 * cloud.count).fill(NaN), xyz = cloud.coords;
  for (let i = 0; i < cloud.count; i++) {
    const x = xyz[3 * i] - o[0], y = xyz[3 * i + 1] - o[1], z = xyz[3 * i + 2] - o[2];
    const ahead = f[0] * x + f[1] * y + f[2] * z;
    if (ahead < 0.02) continue;
    const unit = focal * width / ahead;
    const px = unit * (r[0] * x + r[1] * y + r[2] * z) + width / 2;
    const py = unit * (d[0] * x + d[1] * y + d[2] * z) + height / 2;
    places[2 * i] = px; places[2 * i + 1] = py;
    const half = Math.max(Math.min(Math.ceil(cloud.gap * unit), DISC * scale), 1) / 2;
    const near = Math.log2(ahead), x1 = Math.min(Math.ceil(px + half), width), y1 = Math.min(Math.ceil(py + half), height);
    for (let v = Math.max(Math.floor(py - half + 0.5), 0); v < y1; v++) {
      for (let u = Math.max(Math.floor(px - half + 0.5), 0); u < x1; u++) {
        if (near < depth[v * width + u]) { depth[v * width + u] = near; owner[v * width + u] = i; }
      }
    }
  }
  paint(canvas, depth, owner, view.colours, Math.max(Math.round(scale), 1));
  Object.assign(view, { owner, places, scale });
  if (state.query && state.query.cloud === view.cloud) mark(canvas, places, state.query.row, scale);
}

// Colours darkened by how far a pixel lies behind its neighbours (eye-dome lighting).
function paint(canvas, depth, owner, colours, reach) {
  const { width, height } = canvas, context = canvas.getContext("2d");
  const image = context.createImageData(width, height), out = image.data;
  for (let v = 0; v < height; v++) {
    for (let u = 0; u < width; u++) {
      const at = v * width + u, i = owner[at];
      if (i < 0) continue;
      let behind = 0;
      if (u >= reach) behind += Math.min(Math.max(depth[at] - depth[at - reach], 0), 0.05);
      if (u + reach < width) behind += Math.min(Math.max(depth[at] - depth[at + reach], 0), 0.05);
      if (v >= reach) behind += Math.min(Math.max(depth[at] - depth[at - reach * width], 0), 0.05);
      if (v + reach < height) behind += Math.min(Math.max(depth[at] - depth[at + reach * width], 0), 0.05);
      const light = Math.exp(-SHADE * behind);
      for (let k = 0; k < 3; k++) out[4 * at + k] = light * colours[3 * i + k];
      out[4 * at + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

function mark(canvas, places, row, scale) {
  const context = canvas.getContext("2d");
  for (const [width, colour] of [[4, "white"], [2, "#e11d48"]]) {
    context.beginPath();
    context.arc(places[2 * row], places[2 * row + 1], 7 * scale, 0, 2 * Math.PI);
    context.lineWidth = width * scale; context.strokeStyle = colour; context.stroke();
  }
}

// The point under a place of a view, or near it; -1 where there is none.
function pick(view, x, y) {
  const { width, height } = view.canvas, u = Math.floor(x * view.scale), v = Math.floor(y * view.scale);
  for (let reach = 0; reach <= 5 * view.scale; reach++) {
    for (const [du, dv] of [[0, 0], [reach, 0], [-reach, 0], [0, reach], [0, -reach]]) {
      const inside = u + du >= 0 && u + du < width && v + dv >= 0 && v + dv < height;
      const found = inside ? view.owner[(v + dv) * width + u + du] : -1;
      if (found >= 0) return found;
    }
  }
  return -1;
}

// Cosines of the features of a point with those of all points of a view, as colours.
function activate(view, views, query, scale) {
  const own = views.find((one) => one.group === view.group && one.cloud === query.cloud);
  const dims = view.dims, first = query.row * dims, a = own.features, b = view.features;
  const count = view.lengths.length;
  view.numbers = view.numbers || new Int16Array(count);
  for (let i = 0; i < count; i++) {
    let dot = 0;
    for (let k = 0; k < dims; k++) dot += a[first + k] * b[i * dims + k];
    const cosine = dot / (own.lengths[query.row] * view.lengths[i]);
    view.numbers[i] = Math.round(1000 * cosine);
    const shade = Math.round(255 * Math.max(0, Math.min(1, cosine)));
    for (let k = 0; k < 3; k++) view.colours[3 * i + k] = scale[3 * shade + k];
  }
}

function told(views, cloud, row) {
  const parts = views.filter((view) => view.cloud === cloud && view.numbers).map((view) => {
    const n = view.numbers[row];
    return `${view.title}: ${view.names ? view.names[n] ?? "no label" : n === -32768 ? "–" : (n / 1000).toFixed(2)}`;
  });
  return parts.join(" · ");
}

function start(figure) {
  const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
  const clouds = data.clouds.map(readCloud), views = data.views.map((raw) => readView(raw, clouds));
  const output = figure.querySelector("output"), scale = data.scale && bytes(data.scale);
  const state = { yaw: 0, pitch: 0, zoom: 1, query: data.query }, most = Math.min(devicePixelRatio || 1, 2);
  let waiting = false, sharper = 0;

  function all(fine) { for (const view of views) draw(view, clouds[view.cloud], state, fine ? most : 1); }
  function redraw() {
    clearTimeout(sharper);
    if (most > 1) sharper = setTimeout(() => all(true), 200);
    if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; all(most === 1); }); }
  }
  function turn(yaw, pitch) { state.yaw += yaw; state.pitch += pitch; redraw(); }
  function zoom(by) { state.zoom = Math.max(0.3, Math.min(MOST_ZOOM, state.zoom * by)); redraw(); }
  function reset() { Object.assign(state, { yaw: 0, pitch: 0, zoom: 1 }); redraw(); }
  function choose(view, row) {
    if (row < 0) return;
    output.textContent = told(views, view.cloud, row);
    if (!view.features) return;
    state.query = { cloud: view.cloud, row };
    for (const one of views) activate(one, views, state.query, scale);
    output.textContent = told(views, view.cloud, row);
    redraw();
  }
  const keys = {
    ArrowLeft: () => turn(0.1, 0), ArrowRight: () => turn(-0.1, 0), ArrowUp: () => turn(0, 0.1),
    ArrowDown: () => turn(0, -0.1), "+": () => zoom(1.2), "-": () => zoom(1 / 1.2), 0: reset,
  };

  for (const view of views) {
    view.canvas = figure.querySelectorAll("canvas")[views.indexOf(view)];
    let from = null, moved = 0;
    const canvas = view.canvas;
    canvas.addEventListener("pointerdown", (e) => {
      from = [e.clientX, e.clientY]; moved = 0; canvas.setPointerCapture(e.pointerId);
    });
    canvas.addEventListener("pointermove", (e) => {
      if (from) {
        const [x, y] = [e.clientX - from[0], e.clientY - from[1]];
        moved += Math.abs(x) + Math.abs(y); from = [e.clientX, e.clientY];
        turn(-TURN * x, TURN * y);
      } else {
        const row = pick(view, e.offsetX, e.offsetY);
        output.textContent = row < 0 ? "" : told(views, view.cloud, row);
      }
    });
    canvas.addEventListener("pointerup", (e) => {
      if (from && moved < 5) choose(view, pick(view, e.offsetX, e.offsetY));
      from = null;
    });
    canvas.addEventListener("pointercancel", () => { from = null; });
    canvas.addEventListener("wheel", (e) => {  // a page is scrolled over a view that was not chosen
      if (document.activeElement !== canvas) return;
      e.preventDefault(); zoom(Math.exp(-0.001 * e.deltaY));
    }, { passive: false });
    canvas.addEventListener("keydown", (e) => {
      if (e.key === "Enter") choose(view, pick(view, canvas.clientWidth / 2, canvas.clientHeight / 2));
      else if (keys[e.key]) keys[e.key]();
      else return;
      e.preventDefault();
    });
  }
  const actions = { nearer: keys["+"], farther: keys["-"], reset };
  for (const button of figure.querySelectorAll("button")) button.addEventListener("click", actions[button.dataset.does]);
  if (state.query) for (const view of views) activate(view, views, state.query, scale);
  figure.classList.add("live");
  all(true);
  new ResizeObserver(redraw).observe(figure);
}

// A figure is started when it is about to be seen; until then its still stands there.
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    start(entry.target);
  }
}, { rootMargin: "300px" });
for (const figure of document.querySelectorAll("figure.scene")) seen.observe(figure);
