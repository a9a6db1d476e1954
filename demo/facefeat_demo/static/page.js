// What the whole page does in the browser: an address for each tab, answers read aloud, pictures to keep, a divider
// between before and after, and nothing of the last visitor once the server is gone. It asks no other site for anything.
(() => {
  // ---- tabs: /?tab=morph opens one, Back goes to the one before, a reload stays
  const tabOf = (id) => document.querySelector(`[role=tab][data-tab-id="${CSS.escape(id)}"]`);
  const asked = () => new URLSearchParams(location.search).get('tab') || 'classify';
  const open = (id) => {
    const tab = tabOf(id);
    if (tab && tab.getAttribute('aria-selected') !== 'true') { going = true; tab.click(); going = false; }
  };
  let going = false;
  const named = (id) => {
    const to = new URL(location.href);
    if (id === 'classify') to.searchParams.delete('tab'); else to.searchParams.set('tab', id);
    return to;
  };
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a[data-tab]');
    if (link) { event.preventDefault(); const tab = tabOf(link.dataset.tab); if (tab) { tab.click(); scrollTo(0, 0); } return; }
    const tab = event.target.closest('[role=tab][data-tab-id]');
    if (tab && !going && tab.dataset.tabId !== asked()) history.pushState(null, '', named(tab.dataset.tabId));
  }, true);
  addEventListener('popstate', () => open(asked()));
  const waiting = setInterval(() => {
    if (!tabOf('classify')) return;
    clearInterval(waiting);
    open(asked());
    begin();
  }, 60);

  // ---- answers are announced, and come into view on a small screen
  let live = null, said = '';
  function announce() {
    const at = document.querySelector('#classify-result [data-says]');
    const says = at ? at.dataset.says : '';
    if (says === said) return;
    said = says;
    live.textContent = says;
    if (says && at.getBoundingClientRect().top > innerHeight * 0.6) {
      at.scrollIntoView({ block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
    }
  }
  // ---- a tab's parts come one after the other and push each other about: it is shown when no more have come for a while
  const since = new Map(), soonWhole = new Map();
  function settle() {
    document.querySelectorAll('.tabitem:not([data-whole])').forEach((tab) => {
      if (tab.offsetParent === null || !tab.querySelector('.block')) return;
      const now = performance.now();
      if (!since.has(tab)) since.set(tab, now);
      clearTimeout(soonWhole.get(tab));
      soonWhole.set(tab, setTimeout(() => { tab.dataset.whole = ''; }, Math.min(150, Math.max(0, since.get(tab) + 1500 - now))));
    });
  }
  // ---- a photo that was chosen while the demo was starting is read as if it had been chosen here
  function handOver() {
    let kept = null;
    try {
      kept = JSON.parse(sessionStorage.getItem('ff-photo'));
      ['ff-photo', 'ff-answer'].forEach((name) => sessionStorage.removeItem(name));
    } catch { /* a browser that keeps nothing */ }
    const waiting = kept && setInterval(async () => {
      const field = document.querySelector('#classify-photo input[type=file]');
      if (!field) return;
      clearInterval(waiting);
      const blob = await (await fetch(kept.data)).blob(), files = new DataTransfer();
      files.items.add(new File([blob], kept.name, { type: blob.type }));
      field.files = files.files;
      field.dispatchEvent(new Event('change', { bubbles: true }));
    }, 60);
  }
  function begin() {
    handOver();
    live = document.createElement('div');
    live.className = 'ff-unseen';
    live.setAttribute('role', 'status');
    document.body.append(live);
    // The answer's place may not be there yet, and may be made anew.
    let soon = 0;
    new MutationObserver(() => { settle(); cancelAnimationFrame(soon); soon = requestAnimationFrame(announce); })
      .observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ['style'] });
    settle();
    announce();
    setInterval(alive, 15000);
  }

  // ---- a server that has ended: what it last showed is no longer anybody's
  let missed = 0;
  async function alive() {
    if (document.hidden) return;
    try { await fetch('./gradio_api/app_id', { cache: 'no-store' }); missed = 0; } catch { missed += 1; }
    if (missed === 2) {
      const over = document.createElement('div');
      over.className = 'ff-over';
      over.setAttribute('role', 'alert');
      over.innerHTML = '<p><b>This page has ended.</b></p><p>The computer that runs it was stopped or cannot be reached. '
        + 'What it showed is gone from here, too. Reload the page to try again.</p>';
      document.querySelectorAll('.html-container, .image-container').forEach((at) => { at.textContent = ''; });
      document.body.append(over);
    }
  }

  // ---- pictures to keep: nothing is written on the server
  const keep = (href, name) => {
    const link = document.createElement('a');
    link.href = href; link.download = name;
    document.body.append(link); link.click(); link.remove();
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-keep]');
    if (button) {
      const picture = document.querySelector(button.dataset.keep);
      if (picture) keep(picture.src, button.dataset.name || 'face.jpg');
    }
    const card = event.target.closest('[data-card]');
    if (card) keep(drawCard(card.closest('.ff-answer')), 'facefeat.png');
  });
  function drawCard(answer) {
    const canvas = document.createElement('canvas'), pen = canvas.getContext('2d');
    canvas.width = 1200; canvas.height = 630;
    pen.fillStyle = '#f8fafc'; pen.fillRect(0, 0, 1200, 630);
    const photo = answer.querySelector('.ff-photo img');
    const scale = Math.min(600 / photo.naturalWidth, 630 / photo.naturalHeight);
    const w = photo.naturalWidth * scale, h = photo.naturalHeight * scale, x = (600 - w) / 2, y = (630 - h) / 2;
    pen.fillStyle = '#0f172a'; pen.fillRect(0, 0, 600, 630);
    pen.drawImage(photo, x, y, w, h);
    answer.querySelectorAll('.ff-box').forEach((box) => {
      const [l, t, bw, bh] = ['left', 'top', 'width', 'height'].map((k) => parseFloat(box.style[k]) / 100);
      pen.strokeStyle = '#fff'; pen.lineWidth = 3; pen.strokeRect(x + l * w, y + t * h, bw * w, bh * h);
      pen.font = '700 20px system-ui, sans-serif';
      const text = box.textContent, wide = pen.measureText(text).width + 14;
      pen.fillStyle = '#111827'; pen.fillRect(x + l * w, y + t * h, wide, 28);
      pen.fillStyle = '#fff'; pen.fillText(text, x + l * w + 7, y + t * h + 20);
    });
    const cards = [...answer.querySelectorAll('.ff-card')], alone = cards.length === 1;
    let at = alone ? 84 : 76;
    const font = (weight, size) => `${weight} ${size}px system-ui, sans-serif`;
    const line = (text, how, colour, step) => { pen.font = how; pen.fillStyle = colour; pen.fillText(text, 640, at, 520); at += step; };
    const words = (from) => from.textContent.replace(/\s+/g, ' ').trim();
    line('A computer’s guess', font(700, alone ? 30 : 38), alone ? '#4338ca' : '#0f172a', alone ? 78 : 56);
    for (const card of cards.slice(0, alone ? 1 : 5)) {
      if (!alone) line(card.getAttribute('aria-label'), font(600, 20), '#475569', 30);
      const age = card.querySelector('.ff-age'), between = card.querySelector('.ff-interval');
      const best = [...card.querySelectorAll('.ff-best')].map((row) => [...row.cells].map((c) => c.textContent.trim()).filter(Boolean));
      if (age) line(words(age), font(700, alone ? 50 : 26), '#0f172a', alone ? 46 : 32);
      if (!alone) { line(best.map((one) => one.join(' ')).join(', '), font(400, 20), '#334155', 34); continue; }
      if (between) line(between.textContent, font(400, 26), '#475569', 76);
      best.forEach((one, i) => {  // each with its bar, as on the page
        line(one[0], font(650, 32), '#0f172a', 0);
        pen.textAlign = 'right'; pen.fillText(one[1], 1160, at); pen.textAlign = 'left';
        const share = parseFloat(card.querySelectorAll('.ff-best .ff-bar i')[i].style.width) / 100;
        for (const [width, colour] of [[520, '#e2e8f0'], [520 * share, '#4f46e5']]) {
          pen.fillStyle = colour; pen.beginPath(); pen.roundRect(640, at + 16, Math.max(width, 12), 12, 6); pen.fill();
        }
        at += 78;
      });
      const doubt = card.querySelector('.ff-doubts li');
      if (doubt) line(doubt.textContent, font(500, 22), '#713f12', 0);
    }
    at = 578;
    line('How a face looks to a model: often wrong, never a fact about a person.', font(400, 18), '#475569', 26);
    line('facefeat', font(700, 18), '#4338ca', 0);
    return canvas.toDataURL('image/png');
  }

  // ---- the divider between before and after keeps its place while the face changes
  document.addEventListener('input', (event) => {
    if (event.target.matches('.ff-divider')) {
      event.target.closest('.ff-compare').style.setProperty('--cut', `${event.target.value}%`);
    }
  });
})();
