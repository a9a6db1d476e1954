// The sliders of a face. Along its age every picture has come in one (`data-film`, as of ages.py), and is shown at once; a
// little later the whole one follows, as it does for all other sliders: by one request to this page's own server, past
// the queue of what takes longer. One is on its way at a time; of those that come meanwhile the last one follows.
let going = false, waiting = null, film = null, resting = 0, exact = false, playing = 0;
const unchanged = { __type__: 'update' };

async function asked(values) {
  const face = document.querySelector('#edit-before [data-face]');
  if (!face) return [unchanged, unchanged];
  for (let tries = 0; tries < 40; tries += 1) {
    let answer;
    try { answer = await server.move({ face: face.dataset.face, values }); } catch { return [unchanged, unchanged]; }
    if (!answer.busy) return [answer.after ?? unchanged, answer.table];
    await new Promise((next) => setTimeout(next, 150));
  }
  return [unchanged, unchanged];
}

async function fromServer(values) {
  if (going) {
    waiting ??= {};
    waiting.values = values;
    waiting.answer ??= new Promise((done) => { waiting.done = done; });
    return waiting.answer;
  }
  going = true;
  const answer = await asked(values), next = waiting;
  going = false;
  waiting = null;
  if (next) fromServer(next.values).then(next.done);
  return answer;
}

async function saveRow(button) {
  const face = document.querySelector('#edit-before [data-face]').dataset.face, link = document.createElement('a');
  button.disabled = true;
  const answer = await server.row({ face }).catch(() => ({}));
  button.disabled = false;
  if (!answer.picture) { button.textContent = answer.error || 'That did not work: try again'; return; }
  Object.assign(link, { href: answer.picture, download: 'ages.jpg' }).click();
}

// ---- the pictures that are here already
async function cut() {
  const sheet = document.querySelector('#edit-ages .ff-film');
  if (film && sheet === film.sheet) return;
  if (film) film.urls.forEach((url) => URL.revokeObjectURL(url));
  film = sheet && { ...JSON.parse(sheet.dataset.film), sheet, urls: [] };
  if (!film) return;
  const mine = film, canvas = document.createElement('canvas');
  await sheet.decode();
  canvas.width = canvas.height = mine.size;
  for (let i = 0; i < mine.far.length && film === mine; i += 1) {
    const x = (i % mine.across) * mine.size, y = Math.floor(i / mine.across) * mine.size;
    canvas.getContext('2d').drawImage(sheet, x, y, mine.size, mine.size, 0, 0, mine.size, mine.size);
    mine.urls.push(URL.createObjectURL(await new Promise((done) => { canvas.toBlob(done, 'image/jpeg', 0.92); })));
  }
}
const ages = document.querySelector('#edit-ages');
if (ages) { new MutationObserver(cut).observe(ages, { childList: true, subtree: true }); cut(); }

// The face and its table along the age alone; nothing where something else was moved, too, or there is no film.
function here(values) {
  const face = document.querySelector('#edit-before [data-face]');
  const table = document.querySelector('#edit-predictions .ff-predictions');
  if (!film || !face || !table || film.face !== face.dataset.face || film.urls.length < film.far.length) return null;
  const at = 2 * film.slider;
  if (values.some((value, i) => i !== at && String(value) !== String(film.values[i]))) return null;
  const far = film.far.map((v) => Math.abs(v - values[at])), best = far.indexOf(Math.min(...far));
  const picture = element.querySelector('figure').cloneNode(true), whole = table.parentElement.cloneNode(true);
  picture.querySelector('img').src = film.urls[best];
  whole.querySelectorAll('.ff-says').forEach((one) => one.remove());
  whole.querySelectorAll('.ff-predictions tbody tr').forEach((row, i) => {
    row.cells[2].innerHTML = film.says[best][i];
    row.classList.toggle('ff-changed', row.cells[1].innerHTML !== row.cells[2].innerHTML);
  });
  return [picture.outerHTML, whole.innerHTML];
}

const slider = () => film && document.querySelector(`#edit-attribute-${film.slider + 1} input[type=range]`);
const touch = () => slider()?.dispatchEvent(new Event('input', { bubbles: true }));

window.facefeatMove = async (values) => {
  clearTimeout(resting);
  const found = exact ? null : here(values);
  exact = false;
  if (!found) return fromServer(values);
  resting = setTimeout(() => { exact = true; touch(); }, 200);
  return found;
};

// ---- the face at every age, as a film: younger, older, and back
function stop() {
  clearInterval(playing);
  playing = 0;
  document.querySelectorAll('[data-play-ages]').forEach((button) => { button.textContent = '▶ Play'; button.ariaPressed = 'false'; });
}
function play(button) {
  const range = slider();
  if (!range) return;
  const [low, high] = [Number(range.min), Number(range.max)];
  let now = Number(range.value), ends = [low, high, 0];
  button.textContent = '❚❚ Stop';
  button.ariaPressed = 'true';
  playing = setInterval(() => {
    if (!range.isConnected || range.offsetParent === null) { stop(); return; }
    const left = ends[0] - now;
    now += Math.sign(left) * Math.min(2, Math.abs(left));
    if (now === ends[0]) ends = ends.slice(1);
    range.value = now;
    touch();
    if (!ends.length) stop();
  }, 50);
}
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-play-ages]');
  if (button && playing) stop(); else if (button) play(button);
  if (event.target.closest('[data-save-ages]')) saveRow(event.target);
});
document.addEventListener('input', (event) => { if (playing && event.isTrusted) stop(); }, true);
