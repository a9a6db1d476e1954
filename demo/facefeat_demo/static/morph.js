// Moves the slider of a morph without asking the server: all frames came in one picture.
let morph = null, timer = null;

const part = (name) => element.querySelector(name);

function stop() {
  if (timer !== null) { clearInterval(timer); timer = null; }
  const play = part('.ff-play');
  if (play) { play.textContent = '▶ Play'; play.setAttribute('aria-pressed', 'false'); }
}

// A probability for people: never 0 and never 100.
const percent = (p) => p < 1 ? '<1' : p > 99 ? '>99' : p;

const between = (name, frame) => morph.between[name] ? `, probably ${morph.between[name][frame].join(' to ')}` : '';

function show(frame) {
  const slider = part('.ff-slider'), canvas = part('.ff-canvas'), sprite = part('.ff-sprite');
  if (!morph || !slider) return;
  const size = morph.size, pen = canvas.getContext('2d');
  pen.imageSmoothingQuality = 'high';
  pen.drawImage(sprite, (frame % morph.across) * size, Math.floor(frame / morph.across) * size, size, size,
    0, 0, canvas.width, canvas.height);
  slider.value = frame;
  const says = [];
  for (const [name, values] of Object.entries(morph.predicted)) {
    if (Array.isArray(values)) {
      says.push(`about ${values[frame]} ${morph.units[name]}${between(name, frame)}`);
    } else {
      const best = Object.keys(values).reduce((a, b) => values[b][frame] > values[a][frame] ? b : a);
      says.push(`${name}: ${best} ${percent(values[best][frame])} percent`);
    }
  }
  element.querySelectorAll('[data-now]').forEach((at) => {
    const values = morph.predicted[at.dataset.now];
    at.textContent = Array.isArray(values) ? `${values[frame]} ${morph.units[at.dataset.now]}${between(at.dataset.now, frame)}` : `${percent(values[at.dataset.class][frame])}%`;
  });
  const x = 600 * frame / Math.max(1, morph.frames - 1);
  element.querySelectorAll('.ff-cursor').forEach((line) => { line.setAttribute('x1', x); line.setAttribute('x2', x); });
  slider.setAttribute('aria-valuetext', says.join(', '));
  canvas.setAttribute('aria-label', `The face at the slider's place: ${says.join(', ')}`);
  canvas.dataset.frame = frame;
}

function play() {
  let frame = Number(part('.ff-slider').value), step = frame >= morph.frames - 1 ? -1 : 1;
  const button = part('.ff-play');
  button.textContent = '❚❚ Pause';
  button.setAttribute('aria-pressed', 'true');
  timer = setInterval(() => {
    if (!part('.ff-slider')) { stop(); return; }
    if (frame + step < 0 || frame + step >= morph.frames) step = -step;
    frame += step;
    show(frame);
  }, 1000 / 24);
}

function begin() {
  stop();
  morph = null;
  const root = part('.ff-morph');
  if (!root) return;
  const sprite = part('.ff-sprite');
  sprite.decode().then(() => {
    morph = JSON.parse(root.dataset.morph);
    show(0);
    if (!matchMedia('(prefers-reduced-motion: reduce)').matches) play();
  });
}

// The example comes when the tab is looked at, not with the page.
new IntersectionObserver((seen) => {
  if (seen.some((one) => one.isIntersecting) && part('.ff-wants-example')) trigger('select', {});
}, { rootMargin: '3000px' }).observe(element);

element.addEventListener('input', (event) => {
  if (event.target.matches('.ff-slider')) { stop(); show(Number(event.target.value)); }
});
element.addEventListener('click', (event) => {
  if (event.target.closest('[data-keep-frame]')) {
    const link = document.createElement('a');
    link.href = part('.ff-canvas').toDataURL('image/png');
    link.download = 'morph.png';
    link.click();
  }
  if (!event.target.closest('.ff-play') || !morph) return;
  if (timer === null) play(); else stop();
});
watch('value', begin);
begin();
