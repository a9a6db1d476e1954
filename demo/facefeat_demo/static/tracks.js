// Faces that stay in view, of the camera or of a video: each is a track with one answer, the mean over its pictures, so
// that it settles. Before live.js and clip.js, in one script with them.
const part = (name) => element.querySelector(name);
const LONGEST = 512, SETTLED = 4;

function over(a, b) {
  const w = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), h = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (w <= 0 || h <= 0) return 0;
  const area = (r) => (r[2] - r[0]) * (r[3] - r[1]);
  return w * h / (area(a) + area(b) - w * h);
}

// keep: the most that what was seen before counts, 1 for the plain mean. lost: milliseconds until a face that is not
// seen is gone; it is another one when it comes back.
class Tracks {
  constructor(keep, lost) { Object.assign(this, { keep, lost, all: [], next: 1 }); }

  at(now) { return this.all.filter((track) => now - track.seen < this.lost); }

  update(faces, now) {
    const free = new Set(this.at(now)), seen = [];
    for (const face of faces) {
      let best = null, most = 0.25;
      for (const track of free) { const o = over(track.box, face.box); if (o > most) { best = track; most = o; } }
      if (!best) {
        best = { id: this.next, frames: 0, first: now, values: {}, shares: {}, between: {} };
        this.next += 1;
        this.all.push(best);
      }
      free.delete(best);
      const keep = Math.min(this.keep, best.frames / (best.frames + 1));
      const mean = (was, is) => was === undefined ? is : keep * was + (1 - keep) * is;
      for (const [name, value] of Object.entries(face.values)) best.values[name] = mean(best.values[name], value);
      for (const kind of ['shares', 'between']) {
        for (const [name, numbers] of Object.entries(face[kind])) {
          const own = best[kind][name] = best[kind][name] || {};
          for (const [label, p] of Object.entries(numbers)) own[label] = mean(own[label], p);
        }
      }
      best.box = face.box; best.seen = now; best.frames += 1;
      seen.push(best);
    }
    return seen;
  }
}

// The most probable class, with a question mark where it is in doubt.
function classOf(shares) {
  const [best, p] = Object.entries(shares).reduce((a, c) => c[1] > a[1] ? c : a);
  return p < 0.6 ? `${best}?` : best;
}

function boxed(track, [left, top, right, bottom], settled) {
  const box = document.createElement('div'), label = document.createElement('span');
  const [l, t, r, b] = [left, top, right, bottom].map((v) => 100 * v);
  box.className = `ff-box${t < 8 ? ' ff-box-low' : ''}${l + r > 140 ? ' ff-box-end' : ''}`;
  box.style.cssText = `left:${l}%;top:${t}%;width:${r - l}%;height:${b - t}%`;
  // As on a photo: the number, and the class of the attribute that has the fewest, whose words are the shortest.
  const few = Object.keys(track.shares).sort((a, b) => Object.keys(track.shares[a]).length - Object.keys(track.shares[b]).length);
  const first = few.slice(0, 1).map((name) => classOf(track.shares[name]));
  const says = [...Object.values(track.values).map((v) => `${Math.round(v)}`), ...first].join(', ');
  label.textContent = settled ? says : '…';
  box.dataset.track = track.id; box.dataset.frames = track.frames;
  box.append(label);
  return box;
}

// What the video shows now, small, as the address of a JPEG.
function pictureOf(video, canvas) {
  const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(video.videoWidth * scale); canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL('image/jpeg', 0.8);
}

// What is in the view: the tracks of a camera's stream, or of a video's file; null for nothing.
let source = null;
function show(opened, closes, kept) {
  source = opened;
  part('.ff-live-view').style.removeProperty('--ratio');
  part('.ff-live-note').textContent = '';
  part('.ff-live-starts').hidden = true;
  part('.ff-live-stage').hidden = false;
  part('.ff-live-kept').textContent = kept;
  part('.ff-live-stop').textContent = closes;
  part('.ff-live-stop').focus();
}
function stop(text) {
  const video = part('video');
  if (source) source.close();
  source = null;
  video.pause(); video.removeAttribute('src'); video.srcObject = null; video.controls = false; video.load();
  part('.ff-live-stage').hidden = true;
  part('.ff-live-starts').hidden = false;
  part('.ff-live-boxes').replaceChildren();
  part('.ff-live-found').replaceChildren();
  part('.ff-live-note').textContent = text || '';
}
element.addEventListener('click', (event) => { if (event.target.closest('.ff-live-stop')) stop(); });

