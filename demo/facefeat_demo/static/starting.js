// The page of a demo that is still starting. It takes a photo already, and is loaded again when its first answer is there,
// and when the demo has started; the photo goes with it (page.js).
(() => {
  const now = window.gradio_config.starting;
  const field = document.querySelector('.ff-take'), shown = document.querySelector('.ff-first');
  let kept = null, answer = '';
  async function take(photo) {
    if (!photo) return;
    kept = photo; answer = '';
    const says = field.querySelector('span'), before = says.textContent;
    says.textContent = 'One moment …';
    try {
      const got = await fetch(location.pathname, { method: 'POST', headers: { 'x-facefeat-starting': now }, body: photo });
      const html = got.ok ? await got.text() : '';
      if (html && kept === photo) { answer = shown.innerHTML = html; says.textContent = before; }
    } catch { /* the demo has started meanwhile: the page that comes reads it */ }
  }
  if (field) {
    field.querySelector('input').addEventListener('change', (event) => take(event.target.files[0]));
    document.addEventListener('paste', (event) => take(event.clipboardData.files[0]));
    document.addEventListener('dragover', (event) => event.preventDefault());
    document.addEventListener('drop', (event) => { event.preventDefault(); take(event.dataTransfer.files[0]); });
  }

  // The photo as it is, or a smaller one where the browser does not keep so much.
  const asText = (blob) => new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = failed;
    reader.readAsDataURL(blob);
  });
  const smaller = async () => {
    const photo = await createImageBitmap(kept), canvas = document.createElement('canvas');
    const scale = Math.min(1, 1600 / Math.max(photo.width, photo.height));
    canvas.width = photo.width * scale; canvas.height = photo.height * scale;
    canvas.getContext('2d').drawImage(photo, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL('image/jpeg', 0.92);
  };
  async function again() {
    for (const data of kept ? [() => asText(kept), smaller] : []) {
      try {
        sessionStorage.setItem('ff-photo', JSON.stringify({ name: kept.name, data: await data() }));
        if (answer) sessionStorage.setItem('ff-answer', answer);
        break;
      } catch { sessionStorage.clear(); }
    }
    location.reload();
  }
  const ask = async () => {
    try {
      const answered = await fetch(location.href, { method: 'HEAD', cache: 'no-store', headers: { 'x-facefeat-starting': now } });
      if (answered.ok && answered.headers.get('x-facefeat-starting') !== now) { again(); return; }
    } catch { /* between the two pages nobody listens for a moment */ }
    setTimeout(ask, 150);
  };
  setTimeout(ask, 150);
})();
