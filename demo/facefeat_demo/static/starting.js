// The page of a demo that is still starting: it is loaded again when its first answer is there, and when it has started.
(() => {
  const now = window.gradio_config.starting;
  const ask = async () => {
    try {
      const answer = await fetch(location.href, { method: 'HEAD', cache: 'no-store', headers: { 'x-facefeat-starting': now } });
      if (answer.ok && answer.headers.get('x-facefeat-starting') !== now) { location.reload(); return; }
    } catch { /* between the two pages nobody listens for a moment */ }
    setTimeout(ask, 150);
  };
  setTimeout(ask, 150);
})();
