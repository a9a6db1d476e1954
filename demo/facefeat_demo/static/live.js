// The camera, live: one picture at a time goes to this page's own server.
async function start() {
  if (!navigator.mediaDevices) { stop('This browser gives a camera to pages over https or on this computer only.'); return; }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, facingMode: 'user' }, audio: false });
  } catch (error) {
    stop(error.name === 'NotAllowedError' ? 'The browser did not allow the camera.' : 'No camera was found.');
    return;
  }
  const mine = { close: () => stream.getTracks().forEach((track) => track.stop()) };
  const video = part('video'), canvas = document.createElement('canvas'), tracks = new Tracks(0.85, 900);
  let times = [];
  show(mine, 'Stop the camera', 'Nothing is kept.');
  video.srcObject = stream;
  await video.play();
  while (source === mine) {
    if (!element.isConnected || video.offsetParent === null) { stop(); return; } // another tab: the camera goes off
    let answer;
    try { answer = await server.live_frame(pictureOf(video, canvas)); } catch { stop('The answers stopped coming.'); return; }
    if (source !== mine) return;
    if (answer.error) { stop(answer.error); return; }
    const now = performance.now();
    times = [...times, now].slice(-20);
    tracks.update(answer.faces, now);
    tracks.all = tracks.at(now);
    part('.ff-live-boxes').replaceChildren(...tracks.all.map((track) => boxed(track, track.box, track.frames >= SETTLED)));
    const rate = times.length > 1 ? 1000 * (times.length - 1) / (times.at(-1) - times[0]) : 0;
    const sure = tracks.all.filter((track) => track.frames >= SETTLED).length;
    part('.ff-live-says').textContent = !tracks.all.length ? 'No face in view. Come closer, or turn on a light.'
      : `${sure || '…'} face${sure === 1 ? '' : 's'}, ${rate.toFixed(0)} pictures a second.`;
    element.dataset.rate = rate.toFixed(1);
    await new Promise((next) => setTimeout(next, 30));
  }
}
element.addEventListener('click', (event) => { if (event.target.closest('.ff-live-start')) start(); });

