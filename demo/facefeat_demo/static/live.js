// The camera, live: one frame at a time goes to this page's own server, and each face that stays in view is a track
// with one answer, averaged over its frames, so that it settles.
const part = (name) => element.querySelector(name);
const KEEP = 0.85, LOST = 900, LONGEST = 512;
let stream = null, tracks = [], next = 1, times = [];

function over(a, b) {
  const w = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), h = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (w <= 0 || h <= 0) return 0;
  const area = (r) => (r[2] - r[0]) * (r[3] - r[1]);
  return w * h / (area(a) + area(b) - w * h);
}

function update(faces, now) {
  const free = new Set(tracks);
  for (const face of faces) {
    let best = null, most = 0.25;
    for (const track of free) { const o = over(track.box, face.box); if (o > most) { best = track; most = o; } }
    if (!best) {
      best = { id: next, frames: 0, values: {}, shares: {} };
      next += 1;
      tracks.push(best);
    }
    free.delete(best);
    const keep = Math.min(KEEP, best.frames / (best.frames + 1));
    const mean = (was, is) => was === undefined ? is : keep * was + (1 - keep) * is;
    for (const [name, value] of Object.entries(face.values)) best.values[name] = mean(best.values[name], value);
    for (const [name, shares] of Object.entries(face.shares)) {
      const own = best.shares[name] = best.shares[name] || {};
      for (const [label, p] of Object.entries(shares)) own[label] = mean(own[label], p);
    }
    best.box = face.box; best.seen = now; best.frames += 1;
  }
  tracks = tracks.filter((track) => now - track.seen < LOST);
}

function draw(units) {
  const boxes = part('.ff-live-boxes');
  boxes.replaceChildren(...tracks.map((track) => {
    const box = document.createElement('div'), label = document.createElement('span');
    const [l, t, r, b] = track.box.map((v) => 100 * v);
    box.className = `ff-box${t < 8 ? ' ff-box-low' : ''}`;
    box.style.cssText = `left:${l}%;top:${t}%;width:${r - l}%;height:${b - t}%`;
    const says = Object.entries(track.values).map(([name, v]) => `${Math.round(v)}`);
    for (const shares of Object.values(track.shares)) {
      const [best, p] = Object.entries(shares).reduce((a, c) => c[1] > a[1] ? c : a);
      says.push(p < 0.6 ? `${best}?` : best);
    }
    label.textContent = track.frames < 4 ? '…' : says.join(', ');
    box.dataset.track = track.id; box.dataset.frames = track.frames;
    box.append(label);
    return box;
  }));
  const rate = times.length > 1 ? 1000 * (times.length - 1) / (times.at(-1) - times[0]) : 0;
  const sure = tracks.filter((t) => t.frames >= 4).length;
  part('.ff-live-says').textContent = tracks.length ? `${sure || '…'} face${sure === 1 ? '' : 's'}, ${rate.toFixed(0)} pictures a second`
    : 'No face in view. Come closer, or turn on a light.';
  element.dataset.rate = rate.toFixed(1);
}

function stop(text) {
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = null; tracks = []; times = [];
  part('.ff-live-stage').hidden = true;
  part('.ff-live-start').hidden = false;
  part('.ff-live-boxes').replaceChildren();
  part('.ff-live-note').textContent = text || '';
}

async function start() {
  if (!navigator.mediaDevices) { stop('This browser gives a camera to pages over https or on this computer only.'); return; }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, facingMode: 'user' }, audio: false });
  } catch (error) {
    stop(error.name === 'NotAllowedError' ? 'The browser did not allow the camera.' : 'No camera was found.');
    return;
  }
  const mine = stream, video = part('video'), canvas = document.createElement('canvas');
  part('.ff-live-note').textContent = '';
  part('.ff-live-start').hidden = true;
  part('.ff-live-stage').hidden = false;
  video.srcObject = stream;
  await video.play();
  part('.ff-live-stop').focus();
  while (stream === mine) {
    if (!element.isConnected || video.offsetParent === null) { stop(); return; } // another tab: the camera goes off
    const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(video.videoWidth * scale); canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
    let answer;
    try { answer = await server.live_frame(canvas.toDataURL('image/jpeg', 0.8)); } catch { stop('The answers stopped coming.'); return; }
    if (stream !== mine) return;
    if (answer.error) { stop(answer.error); return; }
    const now = performance.now();
    times.push(now); times = times.slice(-20);
    update(answer.faces, now);
    draw();
    await new Promise((next) => setTimeout(next, 30));
  }
}

element.addEventListener('click', (event) => {
  if (event.target.closest('.ff-live-start')) start();
  if (event.target.closest('.ff-live-stop')) stop();
});
