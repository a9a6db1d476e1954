// The map of faces: one stop for the Tab key, arrow keys from point to point, and a click near a point finds it.
const dots = () => [...element.querySelectorAll('.ff-dot')];
const centre = (dot) => {
  const box = dot.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
};

function only(dot) {
  dots().forEach((other) => { other.tabIndex = other === dot ? 0 : -1; });
}

function choose(dot) {
  dots().forEach((other) => other.setAttribute('aria-pressed', String(other === dot)));
  only(dot);
  trigger('select', { index: Number(dot.dataset.i), of: dot.closest('.ff-map').dataset.of });
}

function near(x, y) {
  let best = null, least = 24;
  for (const dot of dots()) {
    const [a, b] = centre(dot), far = Math.hypot(a - x, b - y);
    if (far < least) { best = dot; least = far; }
  }
  return best;
}

element.addEventListener('click', (event) => {
  if (!event.target.closest('.ff-map-area')) return;
  const dot = event.target.closest('.ff-dot') || near(event.clientX, event.clientY);
  if (dot) choose(dot);
});
element.addEventListener('keydown', (event) => {
  const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
  const from = event.target.closest('.ff-dot');
  if (!way || !from) return;
  event.preventDefault();
  const [x, y] = centre(from);
  let best = null, least = Infinity;
  for (const dot of dots()) {
    if (dot === from) continue;
    const [a, b] = centre(dot), along = (a - x) * way[0] + (b - y) * way[1];
    const aside = Math.abs((a - x) * way[1]) + Math.abs((b - y) * way[0]);
    // Of what lies that way, the nearest; what lies more aside than ahead is for another key.
    if (along <= 0 || aside > 2 * along) continue;
    const far = along + 2 * aside;
    if (far < least) { best = dot; least = far; }
  }
  if (best) { only(best); best.focus(); }
});

// When the map is looked at first, a face is chosen already: an example's, or the first point.
const first = new IntersectionObserver((seen) => {
  if (!seen.some((one) => one.isIntersecting) || !dots().length) return;
  first.disconnect();
  setTimeout(() => { // the map of the model that is in use now comes a moment later
    if (!dots().some((dot) => dot.ariaPressed === 'true')) choose(element.querySelector('.ff-pictured') || dots()[0]);
  }, 700);
});
first.observe(element);
