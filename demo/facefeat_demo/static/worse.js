
// The questions of "And if the photo were worse?": the first face of the answer goes to this page's own server.
let kind = '';
async function ask() {
  const face = document.querySelector('#classify-result .ff-crop'), shown = part('.ff-worse-shown');
  if (!face || !kind) { shown.textContent = kind ? 'Choose a photo with a face first.' : ''; return; }
  element.querySelectorAll('[data-kind]').forEach((b) => b.setAttribute('aria-pressed', String(b.dataset.kind === kind)));
  let answer;
  try { answer = await server.worsen({ picture: face.src, kind }); } catch { answer = { error: 'That did not work. Please try again.' }; }
  stop();
  if (answer.error) shown.textContent = answer.error; else shown.innerHTML = answer.html;
  begin();
}
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-kind]');
  if (button) { kind = button.dataset.kind; ask(); }
});
const result = document.querySelector('#classify-result');
let last = '';
if (result) new MutationObserver(() => {
  const face = result.querySelector('.ff-crop'), now = face ? face.src : '';
  if (now !== last) { last = now; if (kind) ask(); }
}).observe(result, { childList: true, subtree: true });
