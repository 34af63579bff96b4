// A network's knobs in a page: one ES module in anywidget's form, plain DOM, no network.
//
// model.get("about") is what pyro_dcign.explorer.describe returns; "reader", "renderer" and
// "runtime" are bytes, "module" is ONNX Runtime's own ES module as text, "heads" a list of
// data: addresses of pictures.

// ---------------------------------------------------------------- numbers, as in Python

/** numpy.interp of one column of a curve's codes; held at the ends unless there is a period. */
export function interpolate(x, values, column, period) {
  const last = values.length - 1;
  if (period) {
    const wrap = (v) => ((v % period) + period) % period;
    const order = values.map((v, i) => [wrap(v), column[i]]).sort((a, b) => a[0] - b[0]);
    const xs = [order[last][0] - period, ...order.map((o) => o[0]), order[0][0] + period];
    const ys = [order[last][1], ...order.map((o) => o[1]), order[0][1]];
    return interpolate(wrap(x), xs, ys, null);
  }
  if (x <= values[0]) return column[0];
  if (x >= values[last]) return column[last];
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle] <= x) low = middle;
    else high = middle;
  }
  const part = (x - values[low]) / (values[high] - values[low]);
  return column[low] + part * (column[high] - column[low]);
}

/** A factor's latents at a value, and the value at the point of the curve nearest to latents. */
export class Curve {
  constructor({ indices, values, codes, period }) {
    Object.assign(this, { indices, values, period });
    this.columns = indices.map((_, i) => codes.map((row) => row[i]));
    const high = period ? values[0] + period : values[values.length - 1];
    this.fine = Array.from({ length: 2000 }, (_, i) => values[0] + ((high - values[0]) * i) / 1999);
    this.points = this.fine.map((x) => this.at(x));
  }

  at(x) {
    return this.columns.map((column) => interpolate(x, this.values, column, this.period));
  }

  nearest(latents) {
    let best = 0;
    let least = Infinity;
    this.points.forEach((point, i) => {
      const distance = point.reduce((sum, z, j) => sum + (z - latents[j]) ** 2, 0);
      if (distance < least) [best, least] = [i, distance];
    });
    return this.fine[best];
  }

  /** Ends of the values that latents within 1.96 scales stand for: a 95 % interval. */
  interval(loc, scale) {
    const own = this.indices.map((i) => [loc[i], scale[i]]);
    const centre = this.nearest(own.map(([m]) => m));
    const ends = [];
    for (let turn = 0; turn < 16; turn += 1) {
      // The ellipse's ends along every direction; of one latent, its two.
      const side = own.length === 1 ? [turn % 2 ? 1 : -1] : [Math.cos, Math.sin].map((f) => f((turn * Math.PI) / 8));
      let x = this.nearest(own.map(([m, s], i) => m + 1.96 * s * (side[i] ?? 0)));
      if (this.period) x = centre + ((((x - centre + this.period / 2) % this.period) + this.period) % this.period) - this.period / 2;
      ends.push(x);
    }
    return [Math.min(...ends), Math.max(...ends)];
  }
}

/** Pillow's bilinear filter in two passes of 8 bits: what Python's read_picture does to a square. */
export function bilinear(grey, size, side) {
  const scale = size / side;
  const stretch = Math.max(scale, 1);
  const taps = Array.from({ length: side }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - stretch + 0.5));
    const past = Math.min(size, Math.floor(centre + stretch + 0.5));
    const weights = [];
    for (let at = first; at < past; at += 1) {
      const x = (at - centre + 0.5) / stretch;
      weights.push(Math.max(0, 1 - Math.abs(x)));
    }
    const total = weights.reduce((a, b) => a + b, 0);
    return [first, weights.map((w) => w / total)];
  });
  const clip = (x) => Math.max(0, Math.min(255, Math.floor(x + 0.5)));
  if (size === side) return Uint8ClampedArray.from(grey);
  const rows = new Uint8ClampedArray(size * side);
  const out = new Uint8ClampedArray(side * side);
  for (let y = 0; y < size; y += 1) {
    taps.forEach(([first, weights], x) => {
      let sum = 0;
      for (let k = 0; k < weights.length; k += 1) sum += weights[k] * grey[y * size + first + k];
      rows[y * side + x] = clip(sum);
    });
  }
  taps.forEach(([first, weights], y) => {
    for (let x = 0; x < side; x += 1) {
      let sum = 0;
      for (let k = 0; k < weights.length; k += 1) sum += weights[k] * rows[(first + k) * side + x];
      out[y * side + x] = clip(sum);
    }
  });
  return out;
}

// ---------------------------------------------------------------- pictures

const MOST = 1024; // pixels a side that are read; more are averaged first

/** Grey pixels of the square of a picture: zoom 1 is the largest in its middle. */
function squareOf(bitmap, side, { zoom = 1, x = 0, y = 0 } = {}) {
  const [width, height] = [bitmap.width, bitmap.height];
  const square = Math.max(1, Math.floor(Math.min(width, height) / zoom));
  const left = Math.floor(((width - square) * (1 + x)) / 2);
  const top = Math.floor(((height - square) * (1 + y)) / 2);
  const size = Math.min(square, Math.max(MOST, side));
  const canvas = new OffscreenCanvas(size, size);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "black"; // what is transparent lies on black, as in Python
  pen.fillRect(0, 0, size, size);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, left, top, square, square, 0, 0, size, size);
  const { data } = pen.getImageData(0, 0, size, size);
  const grey = new Uint8ClampedArray(size * size);
  for (let i = 0; i < grey.length; i += 1) {
    // Pillow's BT.601, in whole numbers.
    grey[i] = (data[4 * i] * 19595 + data[4 * i + 1] * 38470 + data[4 * i + 2] * 7471 + 32768) >> 16;
  }
  return bilinear(grey, size, side);
}

function show(canvas, grey, side) {
  canvas.width = side;
  canvas.height = side;
  const image = new ImageData(side, side);
  grey.forEach((v, i) => image.data.set([v, v, v, 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const levels = (picture) => Uint8ClampedArray.from(picture, (v) => Math.round(v * 255));

/** An endless animated GIF of grey frames, 128 grey levels. */
export function gif(frames, side, centiseconds = 11) {
  const bytes = [];
  const word = (n) => bytes.push(n & 255, n >> 8);
  const text = (s) => bytes.push(...[...s].map((c) => c.charCodeAt(0)));
  text("GIF89a");
  word(side);
  word(side);
  bytes.push(0xf6, 0, 0);
  for (let i = 0; i < 128; i += 1) bytes.push(...Array(3).fill(Math.round((i * 255) / 127)));
  bytes.push(0x21, 0xff, 11);
  text("NETSCAPE2.0");
  bytes.push(3, 1, 0, 0, 0);
  frames.forEach((frame) => {
    bytes.push(0x21, 0xf9, 4, 4);
    word(centiseconds);
    bytes.push(0, 0, 0x2c, 0, 0, 0, 0);
    word(side);
    word(side);
    bytes.push(0, 7);
    const packed = lzw(Array.from(frame, (v) => Math.round((v * 127) / 255)), 7);
    for (let i = 0; i < packed.length; i += 255) {
      const block = packed.slice(i, i + 255);
      bytes.push(block.length, ...block);
    }
    bytes.push(0);
  });
  bytes.push(0x3b);
  return Uint8Array.from(bytes);
}

function lzw(pixels, bits) {
  const [clear, end] = [1 << bits, (1 << bits) + 1];
  const out = [];
  let [hold, held, width, next, table] = [0, 0, bits + 1, end + 1, new Map()];
  const emit = (code) => {
    hold |= code << held;
    held += width;
    while (held >= 8) {
      out.push(hold & 255);
      hold >>>= 8;
      held -= 8;
    }
  };
  emit(clear);
  let prefix = pixels[0];
  for (const pixel of pixels.slice(1)) {
    const key = prefix * 256 + pixel;
    if (table.has(key)) {
      prefix = table.get(key);
      continue;
    }
    emit(prefix);
    if (next === 4096) {
      emit(clear);
      [width, next, table] = [bits + 1, end + 1, new Map()];
    } else {
      if (next === 1 << width) width += 1;
      table.set(key, next);
      next += 1;
    }
    prefix = pixel;
  }
  emit(prefix);
  emit(end);
  if (held) out.push(hold & 255);
  return out;
}

// ---------------------------------------------------------------- the network, in a worker

/** Runs in the worker: loads ONNX Runtime and both networks, then answers one question at a time. */
function work() {
  let ort;
  let sessions;
  const start = async ({ module, runtime, reader, renderer }) => {
    // Both from memory. With wasmBinary this release still asks where its file would lie, which a
    // module from a blob cannot answer.
    const address = (part, type) => URL.createObjectURL(new Blob([part], { type }));
    ort = await import(address(module, "text/javascript"));
    const wasm = address(runtime, "application/wasm");
    Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmPaths: { wasm } });
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
    const open = (bytes) => ort.InferenceSession.create(
      bytes.buffer ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new Uint8Array(bytes),
      options,
    );
    sessions = { reader: await open(reader), renderer: await open(renderer) };
  };
  const run = async ({ network, input, dims, data }) => {
    const found = await sessions[network].run({ [input]: new ort.Tensor("float32", data, dims) });
    return Object.fromEntries(Object.entries(found).map(([name, t]) => [name, t.data.slice()]));
  };
  let queue = Promise.resolve();
  self.onmessage = ({ data: { id, ...ask } }) => {
    queue = queue.then(async () => {
      try {
        self.postMessage({ id, found: await (ask.module ? start(ask) : run(ask)) });
      } catch (error) {
        self.postMessage({ id, error: String(error?.message ?? error) });
      }
    });
  };
}

class Network {
  constructor(about) {
    this.side = about.side;
    const address = URL.createObjectURL(new Blob([`(${work})()`], { type: "text/javascript" }));
    this.worker = new Worker(address);
    this.waiting = new Map();
    this.worker.onmessage = ({ data: { id, found, error } }) => {
      const [done, fail] = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) done(found);
      else fail(new Error(error));
    };
    this.worker.onerror = (event) => {
      this.waiting.forEach(([, fail]) => fail(new Error(event.message || "the worker stopped")));
      this.waiting.clear();
    };
  }

  ask(question) {
    const id = (this.last = (this.last ?? 0) + 1);
    return new Promise((done, fail) => {
      this.waiting.set(id, [done, fail]);
      this.worker.postMessage({ id, ...question });
    });
  }

  async read(grey) {
    const data = Float32Array.from(grey, (v) => v / 255);
    const dims = [1, 1, this.side, this.side];
    return this.ask({ network: "reader", input: "picture", dims, data });
  }

  async render(code) {
    const data = Float32Array.from(code);
    const found = await this.ask({ network: "renderer", input: "code", dims: [1, data.length], data });
    return found.picture;
  }
}

// ---------------------------------------------------------------- words

const degrees = (x) => `${Math.round(x) < 0 ? "−" : ""}${Math.abs(Math.round(x))}°`;
const title = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

/** How familiar a picture is, from its reconstruction error and quantiles of test images. */
export function familiarity(error, quantiles) {
  const measured = `Reconstruction error ${(error * 1e4).toFixed(0)} · 10⁻⁴`;
  if (!quantiles) return ["plain", `${measured}. This network came without errors of test pictures to compare.`];
  const at = (q) => quantiles[q] ?? Infinity;
  const times = `${measured}, ${(error / at("0.5")).toFixed(1)} times that of a test picture`;
  if (error <= at("0.95")) return ["good", `Like what the network knows. ${times}.`];
  if (error <= at("0.999")) return ["fair", `Unlike what the network knows. ${times}. Read it with care.`];
  return ["poor", `Nothing like what the network knows. ${times}. Do not trust this reading.`];
}

// ---------------------------------------------------------------- the page

const BODY = `
<section class="stage" aria-label="Pictures">
  <figure class="drop"><canvas class="picture" role="img" aria-label="The picture"></canvas><figcaption>picture</figcaption></figure>
  <figure><canvas class="decoded" role="img" aria-label="The picture as the network decodes it"></canvas><figcaption>decoded</figcaption></figure>
  <figure class="large"><div class="turn" tabindex="0" role="group" aria-label="Edited picture. Arrow keys turn it, with Shift they move the lamp."><canvas class="edited" role="img" aria-label="The edited picture"></canvas></div><figcaption>edited</figcaption></figure>
</section>
<p class="status" role="status" aria-live="polite">Loading the network …</p>
<p class="familiar"></p>
<section class="knobs" aria-label="Knobs"><p class="legend">Shaded: 95 % interval of the reading.</p></section>
<section class="people">
  <div class="heads" role="group" aria-label="Built-in pictures"></div>
  <div class="row">
    <div class="pick" role="radiogroup" aria-label="A new picture is the">
      <span>A new picture is the</span>
      <label><input type="radio" name="slot" value="first" checked> first</label>
      <label><input type="radio" name="slot" value="second"> second, to mix in</label>
    </div>
    <label class="button">Choose a file<input class="file" type="file" accept="image/*"></label>
    <button type="button" class="camera">Webcam</button>
  </div>
  <div class="shot" hidden><video playsinline muted aria-label="Webcam"></video><button type="button" class="snap">Take the picture</button></div>
  <details class="crop"><summary>Framing of the picture</summary>
    <p>Move the square until it frames its subject as the built-in pictures do.</p>
    <label>zoom <input type="range" class="zoom" min="1" max="6" step="0.02" value="1"></label>
    <label>left, right <input type="range" class="shift-x" min="-1" max="1" step="0.01" value="0"></label>
    <label>up, down <input type="range" class="shift-y" min="-1" max="1" step="0.01" value="0"></label>
  </details>
  <div class="second" hidden>
    <figure><canvas class="other" role="img" aria-label="The second picture"></canvas><figcaption>second</figcaption></figure>
    <div>
      <label class="mix">person: first to second <input type="range" class="blend" min="0" max="1" step="0.01" value="0"></label>
      <div class="row"><button type="button" class="person">Take its person</button><button type="button" class="pose">Take its pose</button></div>
    </div>
  </div>
</section>
<section class="row saves">
  <button type="button" class="reset">Back to the reading</button>
  <button type="button" class="strip">Save a strip</button>
  <button type="button" class="gif">Save a GIF</button>
  <button type="button" class="link">Copy a link</button>
</section>`;

async function render({ model, el }) {
  const about = model.get("about");
  const { side } = about;
  const curves = Object.fromEntries(Object.entries(about.calibration).map(([n, c]) => [n, new Curve(c)]));
  const extrinsic = new Set(Object.values(curves).flatMap((curve) => curve.indices));
  el.classList.add("dcign");
  el.innerHTML = BODY;
  const $ = (selector) => el.querySelector(selector);
  const say = (text) => { $(".status").textContent = text; };

  // The state: readings of two pictures, whose pose, how much of whose person, and the knobs.
  const state = { first: null, second: null, pose: "first", mix: 0, values: {} };
  const network = new Network(about);

  const posed = () => state[state.pose] ?? state.first;
  function code() {
    const z = Float32Array.from(state.first.loc);
    for (let i = 0; i < z.length; i += 1) {
      if (extrinsic.has(i)) z[i] = posed().loc[i];
      else if (state.second) z[i] += state.mix * (state.second.loc[i] - z[i]);
    }
    return z;
  }
  function edited(values = state.values) {
    const z = code();
    Object.entries(values).forEach(([name, x]) => {
      curves[name].at(x).forEach((v, i) => { z[curves[name].indices[i]] = v; });
    });
    return z;
  }

  // Draw at the rate that the network manages, and the last setting in any case.
  let [busy, wanted] = [null, false];
  function draw() {
    wanted = true;
    busy ??= (async () => {
      try {
        while (wanted) {
          wanted = false;
          const begun = performance.now();
          show($(".edited"), levels(await network.render(edited())), side);
          el.explorer.times.push(performance.now() - begun);
          if (el.explorer.times.length > 1000) el.explorer.times.shift();
        }
      } catch (error) {
        say(`The picture could not be drawn: ${error.message}`);
      } finally {
        busy = null;
      }
    })();
    return busy;
  }

  // ---- knobs
  const knobs = {};
  Object.entries(curves).forEach(([name, curve]) => {
    const { low, high } = about.factors[name];
    const row = document.createElement("div");
    row.className = "knob";
    row.innerHTML = `<label><span>${title(name)}</span><input type="range" min="${low}" max="${high}" step="0.5"></label><output class="value"></output><output class="read"></output>`;
    const [slider, value, read] = ["input", ".value", ".read"].map((s) => row.querySelector(s));
    knobs[name] = { slider, value, read, low, high, curve };
    slider.addEventListener("input", () => {
      state.values[name] = Number(slider.value);
      label(name);
      draw();
    });
    $(".legend").before(row);
  });
  function label(name) {
    const { slider, value, read, curve } = knobs[name];
    const { loc, scale } = posed();
    const [from, to] = scale ? curve.interval(loc, scale) : [];
    const words = scale ? `read ${degrees(state.read[name])} (${degrees(from)} to ${degrees(to)})` : "";
    const now = degrees(name in state.values ? state.values[name] : state.read[name]);
    value.textContent = now;
    read.textContent = words;
    slider.setAttribute("aria-valuetext", [now, words].filter(Boolean).join(", "));
  }
  function settle() {
    state.read = {};
    Object.entries(knobs).forEach(([name, { slider, curve, low, high }]) => {
      const { loc, scale } = posed();
      state.read[name] = curve.nearest(curve.indices.map((i) => loc[i]));
      slider.value = state.values[name] ?? state.read[name];
      const [from, to] = scale ? curve.interval(loc, scale) : [0, 0];
      // The middle of the thumb, 0.75rem wide, runs from half its width to half before the end.
      const share = (x) => {
        const part = Math.max(0, Math.min(1, (x - low) / (high - low)));
        return `calc(0.375rem + ${part} * (100% - 0.75rem))`;
      };
      slider.style.setProperty("--from", share(from));
      slider.style.setProperty("--to", share(to));
      label(name);
    });
    $(".blend").value = state.mix;
    $(".second").hidden = !state.second;
    return draw();
  }
  const turn = (name, by) => {
    if (!knobs[name] || !state.first) return;
    const { slider } = knobs[name];
    slider.value = Number(slider.value) + by;
    slider.dispatchEvent(new Event("input"));
  };
  const [across, upward, lamp] = ["azimuth", "elevation", "light"];
  $(".turn").addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") turn(event.shiftKey ? lamp : across, 3 * by);
    else turn(upward, 2 * by);
  });
  let held = null;
  $(".turn").addEventListener("pointerdown", (event) => {
    held = [event.clientX, event.clientY];
    $(".turn").setPointerCapture(event.pointerId);
  });
  $(".turn").addEventListener("pointermove", (event) => {
    if (!held) return;
    turn(event.shiftKey ? lamp : across, (event.clientX - held[0]) / 2);
    turn(upward, (held[1] - event.clientY) / 3);
    held = [event.clientX, event.clientY];
  });
  ["pointerup", "pointercancel"].forEach((end) => $(".turn").addEventListener(end, () => { held = null; }));

  // ---- pictures
  const slot = () => (state.first ? $("input[name=slot]:checked").value : "first");
  async function take(bitmap, which, name, frame) {
    const grey = squareOf(bitmap, side, frame);
    const { loc, scale } = await network.read(grey);
    if (!loc.every(Number.isFinite)) throw new Error("the network's reading is not a number");
    const decoded = await network.render(loc);
    const error = decoded.reduce((sum, v, i) => sum + (v - grey[i] / 255) ** 2, 0) / decoded.length;
    state[which] = { loc, scale, grey, error, bitmap, name };
    const [kind, words] = familiarity(error, about.familiarity);
    if (which === "first") {
      Object.assign(state, { values: {}, pose: "first" });
      show($(".picture"), grey, side);
      show($(".decoded"), levels(decoded), side);
    } else {
      show($(".other"), grey, side);
      state.mix = frame ? state.mix : 0.5;
    }
    $(".familiar").textContent = which === "first" ? words : `Second picture. ${words}`;
    $(".familiar").dataset.kind = kind;
    state.framed = which;
    $(".crop").hidden = false;
    await settle();
  }
  // One picture after the other; a newer wish overtakes the ones that wait.
  let line = Promise.resolve();
  let newest = 0;
  function bring(source, name) {
    const turnOf = (newest += 1);
    const which = slot();
    line = line.then(async () => {
      if (turnOf !== newest) return;
      let bitmap;
      try {
        bitmap = await createImageBitmap(source instanceof Blob ? source : blobOf(source));
      } catch {
        say(`${name} is no picture that this browser can open. Save it as PNG or JPEG.`);
        return;
      }
      try {
        [".zoom", ".shift-x", ".shift-y"].forEach((s) => { $(s).value = $(s).defaultValue; });
        await take(bitmap, which, name);
        const small = Math.min(bitmap.width, bitmap.height) < 32;
        const size = `${bitmap.width} by ${bitmap.height} pixels`;
        say(small ? `${name} has ${size}: too small to show much.` : `${name}, ${size}, is the ${which} picture.`);
      } catch (error) {
        say(`${name} could not be read: ${error.message}`);
      }
    });
    return line;
  }
  function blobOf(address) {
    const [head, text] = address.split(",");
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Blob([bytes], { type: head.slice(5).split(";")[0] });
  }
  [".zoom", ".shift-x", ".shift-y"].forEach((selector) => $(selector).addEventListener("input", () => {
    const [zoom, x, y] = [".zoom", ".shift-x", ".shift-y"].map((s) => Number($(s).value));
    const { bitmap, name } = state[state.framed] ?? {};
    const turnOf = (newest += 1);
    line = line.then(async () => {
      if (bitmap && turnOf === newest) await take(bitmap, state.framed, name, { zoom, x, y });
    });
  }));
  const heads = model.get("heads") ?? [];
  heads.forEach((address, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.innerHTML = `<img alt="picture ${i + 1}" src="${address}">`;
    button.addEventListener("click", () => bring(address, `Picture ${i + 1}`));
    $(".heads").append(button);
  });
  $(".file").addEventListener("change", ({ target }) => {
    if (target.files[0]) bring(target.files[0], target.files[0].name);
    target.value = "";
  });
  el.addEventListener("dragover", (event) => { event.preventDefault(); el.classList.add("over"); });
  el.addEventListener("dragleave", () => el.classList.remove("over"));
  el.addEventListener("drop", (event) => {
    event.preventDefault();
    el.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) bring(file, file.name);
    else say("That was no file. Save the picture first, then drop it here.");
  });
  const video = $("video");
  const stop = () => {
    video.srcObject?.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    $(".shot").hidden = true;
  };
  $(".camera").addEventListener("click", async () => {
    if (video.srcObject) return stop();
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
      $(".shot").hidden = false;
      await video.play();
    } catch {
      stop();
      say("No webcam answered. Allow this page to use it, or choose a file.");
    }
    return undefined;
  });
  $(".snap").addEventListener("click", async () => {
    const canvas = new OffscreenCanvas(video.videoWidth || 1, video.videoHeight || 1);
    canvas.getContext("2d").drawImage(video, 0, 0);
    stop();
    await bring(await canvas.convertToBlob(), "The webcam's picture");
  });

  // ---- two people
  $(".blend").addEventListener("input", () => { state.mix = Number($(".blend").value); draw(); });
  $(".person").addEventListener("click", () => { state.mix = 1; settle(); });
  $(".pose").addEventListener("click", () => { Object.assign(state, { pose: "second", values: {} }); settle(); });
  $(".reset").addEventListener("click", () => { Object.assign(state, { pose: "first", values: {}, mix: 0 }); settle(); });

  // ---- saving
  function save(blob, name) {
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(blob);
    anchor.download = name;
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 10000);
    say(`${name} is saved.`);
  }
  /** Values of one factor from end to end; the factor that was moved last, else the first. */
  async function sweep(count) {
    const name = Object.keys(state.values).at(-1) ?? Object.keys(knobs)[0];
    const { low, high } = knobs[name];
    const values = Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
    const views = [];
    for (const x of values) views.push(levels(await network.render(edited({ ...state.values, [name]: x }))));
    return { name, values, views };
  }
  $(".strip").addEventListener("click", async () => {
    const { name, values, views } = await sweep(9);
    const [tile, gap, text] = [128, 6, 22];
    const tiles = [[$(".picture"), "picture"], [$(".decoded"), "decoded"]];
    views.forEach((view, i) => {
      const canvas = new OffscreenCanvas(side, side);
      show(canvas, view, side);
      tiles.push([canvas, `${i ? "" : `${name} `}${degrees(values[i])}`]);
    });
    const sheet = new OffscreenCanvas(tiles.length * (tile + gap) + gap, tile + text + gap);
    const pen = sheet.getContext("2d");
    pen.fillStyle = "white";
    pen.fillRect(0, 0, sheet.width, sheet.height);
    Object.assign(pen, { fillStyle: "#282828", font: "13px sans-serif", textAlign: "center" });
    tiles.forEach(([canvas, words], i) => {
      if (canvas.width) pen.drawImage(canvas, gap + i * (tile + gap), gap, tile, tile);
      pen.fillText(words, gap + i * (tile + gap) + tile / 2, tile + gap + 15);
    });
    save(await sheet.convertToBlob(), `${name}-strip.png`);
  });
  $(".gif").addEventListener("click", async () => {
    const { name, views } = await sweep(25);
    const large = views.map((view) => {
      const canvas = new OffscreenCanvas(side, side);
      show(canvas, view, side);
      const wide = new OffscreenCanvas(256, 256);
      const pen = wide.getContext("2d");
      pen.imageSmoothingQuality = "high";
      pen.drawImage(canvas, 0, 0, 256, 256);
      return pen.getImageData(0, 0, 256, 256).data.filter((_, i) => i % 4 === 0);
    });
    const frames = [...large, ...large.slice(1, -1).reverse()];
    save(new Blob([gif(frames, 256)], { type: "image/gif" }), `${name}.gif`);
  });
  // A link holds the code and the knobs, never the picture.
  $(".link").addEventListener("click", async () => {
    const bytes = new Uint8Array(code().buffer);
    const text = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
    const knobsText = Object.entries(state.values).map(([n, x]) => `${n}=${x}`);
    const hash = [`code=${text}`, ...knobsText].join("&");
    try { history.replaceState(null, "", `#${hash}`); } catch { /* a page inside a notebook */ }
    const address = `${location.href.split("#")[0]}#${hash}`;
    try {
      await navigator.clipboard.writeText(address);
      say("The link is copied. It holds the code and the knobs, not the picture.");
    } catch {
      say("The link is in the address bar. It holds the code and the knobs, not the picture.");
    }
  });
  async function recall() {
    const found = new URLSearchParams(location.hash.slice(1));
    const bytes = Uint8Array.from(atob(found.get("code").replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const loc = new Float32Array(bytes.buffer);
    const latents = Math.max(...Object.values(about.latents).map(([, past]) => past));
    if (loc.length !== latents || !loc.every(Number.isFinite)) throw new Error("another network's code");
    const decoded = levels(await network.render(loc));
    state.first = { loc };
    Object.keys(knobs).forEach((name) => {
      const x = found.has(name) ? Number(found.get(name)) : NaN;
      if (Number.isFinite(x)) state.values[name] = Math.min(knobs[name].high, Math.max(knobs[name].low, x));
    });
    show($(".decoded"), decoded, side);
    show($(".picture"), new Uint8ClampedArray(side * side).fill(128), side);
    await settle();
    say("Opened from a link, which holds a code and no picture.");
  }

  const leave = () => { stop(); network.worker.terminate(); };
  el.explorer = { state, familiarity, times: [], bring, settled: async () => { await line; await busy; } };
  try {
    const parts = ["module", "runtime", "reader", "renderer"].map((name) => [name, model.get(name)]);
    await network.ask(Object.fromEntries(parts));
  } catch (error) {
    say(`The network could not be loaded: ${error.message}`);
    return leave;
  }
  let recalled = false;
  if (location.hash.startsWith("#code=")) {
    try {
      await recall();
      recalled = true;
    } catch {
      say("The link in the address is damaged or of another network.");
    }
  }
  if (!recalled && heads.length) await bring(heads[0], "Picture 1");
  else if (!recalled) say("Drop a picture here, or choose a file.");
  el.dataset.ready = "";
  return leave;
}

export default { render };
