// A video: the browser decodes it, and small pictures of it, evenly spaced, go to this page's own server, as those of
// the camera do. Each face then has one answer, and its box follows it while the video plays.
const MINUTE = 60, PICTURES = 120, EVERY = 0.2; // seconds read; pictures read; seconds between them at least
const UNREADABLE = 'This browser cannot play this file as a video. Most browsers play MP4 (H.264) and WebM.';

const heard = (video, name, patience = 10000) => new Promise((done, fail) => {
  const timer = setTimeout(fail, patience);
  const end = (how) => () => { clearTimeout(timer); how(); };
  video.addEventListener(name, end(done), { once: true });
  video.addEventListener('error', end(fail), { once: true });
});
const seek = (video, to) => { const there = heard(video, 'seeked'); video.currentTime = to; return there; };
const clock = (ms) => `${Math.floor(ms / 60000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, '0')}`;

// Seconds of a file; those that a browser recorded itself do not say theirs until they were looked at to the end.
async function lengthOf(video) {
  if (!Number.isFinite(video.duration)) await seek(video, 1e7);
  return Number.isFinite(video.duration) ? video.duration : video.currentTime;
}

// The faces of one picture. Where too many visitors ask, it waits; after some seconds that is an error of its own.
async function asked(video, canvas) {
  for (let tries = 1; ; tries += 1) {
    const answer = await server.live_frame(pictureOf(video, canvas));
    if (!answer.error) return answer.faces;
    if (tries === 6) throw new Error(answer.error);
    await new Promise((next) => setTimeout(next, 700));
  }
}

async function readClip(file) {
  stop();
  const video = part('video'), canvas = document.createElement('canvas'), tracks = new Tracks(1, 900);
  const url = URL.createObjectURL(file), mine = { close: () => URL.revokeObjectURL(url) };
  show(mine, 'Close the video', 'The video stays in this browser: small pictures of it are read, and nothing is kept.');
  const says = (text) => { part('.ff-live-says').textContent = text; };
  const seen = []; // for each picture its time, and the box of each track in it
  says('Opening the video …');
  try {
    const opened = heard(video, 'loadeddata');
    video.src = url;
    await opened;
    if (!video.videoWidth) throw new Error();
    part('.ff-live-view').style.setProperty('--ratio', video.videoWidth / video.videoHeight);
  } catch { if (source === mine) stop(UNREADABLE); return; }
  let seconds = 0;
  try {
    seconds = await lengthOf(video);
    const read = Math.min(seconds, MINUTE), count = Math.max(1, Math.min(PICTURES, Math.ceil(read / EVERY)));
    for (let i = 0; i < count; i += 1) {
      const now = read * (i + 0.5) / count;
      await seek(video, now);
      const faces = await asked(video, canvas);
      if (source !== mine) return;
      if (!element.isConnected || video.offsetParent === null) { stop(); return; }
      const boxes = new Map();
      for (const track of tracks.update(faces, 1000 * now)) {
        boxes.set(track.id, track.box);
        keepLargest(track, canvas);
      }
      seen.push({ now, boxes });
      drawAt(tracks.all, seen, now, SETTLED);
      says(`Reading the video: ${i + 1} of ${count} pictures`);
    }
  } catch (error) {
    if (source !== mine) return;
    if (!seen.length) { stop(error && error.message || UNREADABLE); return; }
    says(`The video could be read to ${clock(1000 * seen.at(-1).now)} only. `);
  }
  // What flickers up in a picture or two is seldom a face.
  const found = tracks.all.filter((track) => track.frames >= Math.min(SETTLED, seen.length))
    .sort((a, b) => a.first - b.first || a.box[0] - b.box[0]);
  says(`${found.length || 'No'} face${found.length === 1 ? '' : 's'} in ${seen.length} pictures`
    + `${seconds > MINUTE ? ' of the first minute' : ''}. `);
  part('.ff-live-found').replaceChildren(...found.map(answerOf));
  video.controls = true; video.loop = true;
  await seek(video, 0).catch(() => {});
  video.play().catch(() => {});
  const follow = () => {
    if (source !== mine) return;
    if (!element.isConnected || video.offsetParent === null) video.pause();
    drawAt(found, seen, video.currentTime, 1);
    requestAnimationFrame(follow);
  };
  follow();
}

// The boxes at a time: of the picture that is nearest to it.
function drawAt(tracks, seen, time, settled) {
  const near = seen.reduce((a, c) => Math.abs(c.now - time) < Math.abs(a.now - time) ? c : a);
  if (Math.abs(near.now - time) > 1) { part('.ff-live-boxes').replaceChildren(); return; } // past what was read
  const there = tracks.filter((track) => near.boxes.has(track.id));
  const boxes = there.map((track) => boxed(track, near.boxes.get(track.id), track.frames >= settled));
  part('.ff-live-boxes').replaceChildren(...boxes);
}

function keepLargest(track, canvas) {
  const [l, t, r, b] = track.box, area = (r - l) * (b - t);
  if (area <= (track.area || 0)) return;
  track.area = area;
  const w = (r - l) * canvas.width, h = (b - t) * canvas.height, side = Math.max(w, h);
  track.picture = track.picture || Object.assign(document.createElement('canvas'), { width: 92, height: 92 });
  track.picture.getContext('2d').drawImage(
    canvas, l * canvas.width - (side - w) / 2, t * canvas.height - (side - h) / 2, side, side, 0, 0, 92, 92);
}

function answerOf(track, number) {
  const card = document.createElement('section'), text = document.createElement('div');
  const line = (kind, says) => { const p = document.createElement('p'); p.className = kind; p.textContent = says; text.append(p); };
  card.className = 'ff-card';
  card.setAttribute('aria-label', `Face ${number + 1}`);
  track.picture.setAttribute('aria-hidden', 'true');
  line('ff-number', `Face ${number + 1}, from ${clock(track.first)} to ${clock(track.seen)}`);
  for (const [name, value] of Object.entries(track.values)) {
    line('ff-age', `${name} about ${Math.round(value)}`);
    const between = track.between[name];
    if (between) line('ff-interval', `probably ${Math.round(between.low)} to ${Math.round(between.high)}`);
  }
  line('ff-clip-classes', Object.values(track.shares).map(classOf).join(', '));
  card.append(track.picture, text);
  return card;
}

element.addEventListener('click', (event) => { if (event.target.closest('.ff-clip-start')) part('.ff-clip-file').click(); });
element.addEventListener('change', (event) => {
  if (!event.target.matches('.ff-clip-file')) return;
  const [file] = event.target.files;
  if (file) readClip(file);
  event.target.value = ''; // the same file again is a change, too
});
