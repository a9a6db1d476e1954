// The first look: what the page opens with is in its configuration already, and is shown while Gradio's script, which
// will draw the same, is still coming. A page that asks for a password has no configuration yet, and no first look.
(() => {
  const { components = [], css = '', starting = '' } = window.gradio_config || {};
  const shell = document.getElementById('ff-shell'), asked = new URLSearchParams(location.search);
  const of = (test) => components.map((one) => one.props || {}).find(test) || {};
  const header = of((props) => (props.elem_classes || []).includes('ff-top')).value;
  if (!header) { shell.remove(); return; }
  const dark = (asked.get('__theme') || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : '')) === 'dark';
  const now = asked.get('tab') || 'classify';
  const tabs = components.filter((one) => one.type === 'tabitem').map(({ props }) => {
    const link = document.createElement('a');
    link.href = `?tab=${encodeURIComponent(props.id)}`;
    link.textContent = props.label;
    if (props.id === now) link.setAttribute('aria-current', 'page');
    return link.outerHTML;
  }).join('');
  let before = '';  // the answer for a photo that was shown while the demo was starting
  try { before = starting ? '' : sessionStorage.getItem('ff-answer'); } catch { /* a browser that keeps nothing */ }
  const answer = now === 'classify' ? before || of((props) => props.elem_id === 'classify-result').value || '' : '';
  const take = '<label class="ff-take"><input type="file" accept="image/*"><span>Drop a photo here, or click to choose one</span></label>';
  shell.className = dark ? 'dark' : '';
  shell.innerHTML = `<style>${css}</style><div><div class="ff-top">${header}</div><nav class="ff-tabs">${tabs}</nav>`
    + `${answer && `<div class="ff-ask">${starting === '1' ? take : '<i></i>'}<b></b></div>`}`
    + `<div class="ff-first" aria-live="polite">${answer || '<p class="ff-quiet">One moment …</p>'}</div></div>`;
  const since = performance.now();
  const look = () => {
    // Of the page's own parts, the tab that is open is whole; or something went wrong, and it is shown as it is.
    const whole = [...document.querySelectorAll('.tabitem[data-whole]')].some((tab) => tab.offsetParent !== null)
      && (!before || document.querySelector('#classify-result [data-says]:not([data-says=""])'));
    if (whole || (performance.now() - since > 6000 && document.querySelector('.tabitem'))) shell.remove();
    else setTimeout(look, 30);
  };
  look();
})();
// Gradio's sign of loading measures its time at every frame, for as long as the page is open, though it is gone (seen in
// 6.31). That keeps a browser busy and its battery, too: whoever measures time before there are tabs, stops when they are.
(() => {
  const next = window.requestAnimationFrame.bind(window);
  let there = false, inside = false;
  const whole = () => { there = there || document.querySelector('.tabitem') !== null; return there; };
  window.requestAnimationFrame = (draw) => {
    const timer = inside || (!whole() && String(draw).includes('performance.now()'));
    return next((now) => {
      if (timer && whole()) return;
      inside = timer;
      try { draw(now); } finally { inside = false; }
    });
  };
})();
