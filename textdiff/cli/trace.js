"use strict";
(() => {
  const LOOKS = ["noise", "fresh", "settled", "back"]; // numbered as in the data
  const [NOISE, FRESH, , BACK] = LOOKS.keys();
  const find = (id) => document.getElementById(id);

  // frames: what changes with each of them, as [gap, position, look, text, percent]; the last two are left out where
  // they stay as they were.
  const { frames } = JSON.parse(find("data").textContent);
  const last = frames.length - 1;
  if (last < 2) return;

  const cells = new Map(); // "gap/position" to what is shown there
  for (const gap of document.querySelectorAll("[data-gap]"))
    for (const [position, element] of gap.querySelectorAll("span").entries())
      cells.set(`${gap.dataset.gap}/${position}`, { element, look: NOISE, text: "", percent: null });

  const stale = new Set(); // cells that are to be drawn
  const apply = (frame) => {
    for (const [gap, position, look, ...more] of frames[frame]) {
      const cell = cells.get(`${gap}/${position}`);
      cell.look = look;
      stale.add(cell);
      if (more.length) [cell.text, cell.percent] = more;
    }
  };

  const draw = ({ element, look, text, percent }) => {
    const level = look === NOISE || percent === null ? "" : ` p${Math.min(4, Math.floor(percent / 20))}`;
    element.className = LOOKS[look] + level;
    if (element.textContent !== text) element.textContent = text;
    element.hidden = look !== NOISE && text === "";
    element.title = level ? `${percent} % probable when it settled` : "";
    if (look === NOISE) element.setAttribute("aria-hidden", "true");
    else element.removeAttribute("aria-hidden");
  };

  let current = last;
  for (let frame = 0; frame <= last; frame++) apply(frame);

  const describe = () => {
    const count = (look) => [...cells.values()].filter((cell) => cell.look === look).length;
    if (current === 0) return `Before the first step: ${count(NOISE)} ${count(NOISE) === 1 ? "token" : "tokens"} of noise`;
    if (current === last) return "The result";
    const counts = [[count(FRESH), "settled"], [count(BACK), "went back"], [count(NOISE) + count(BACK), "left"]];
    const said = counts.filter(([number]) => number).map(([number, what]) => `${number} ${what}`);
    return `Step ${current} of ${last - 1}: ${said.join(", ")}`;
  };

  const seek = (frame) => {
    const target = Math.max(0, Math.min(last, frame));
    if (target < current) {
      // every cell has a change in frame 0
      current = 0;
      apply(0);
    }
    while (current < target) apply(++current);
    stale.forEach(draw);
    stale.clear();
    find("step").value = current;
    find("status").textContent = describe();
    find("step").setAttribute("aria-valuetext", find("status").textContent);
    find("back").disabled = current === 0;
    find("on").disabled = current === last;
  };

  let timer = 0;
  const pace = Math.max(60, Math.min(700, 20000 / last)); // milliseconds a frame
  const pause = () => {
    clearTimeout(timer);
    timer = 0;
    find("play").classList.remove("playing");
    find("play").setAttribute("aria-label", "Play");
    find("status").setAttribute("aria-live", "polite");
  };
  const tick = () => {
    if (current === last) return pause();
    seek(current + 1);
    timer = setTimeout(tick, pace / Number(find("speed").value));
  };
  const play = () => {
    if (timer) return pause();
    find("status").setAttribute("aria-live", "off");
    find("play").classList.add("playing");
    find("play").setAttribute("aria-label", "Pause");
    if (current === last) seek(0);
    timer = setTimeout(tick, pace / Number(find("speed").value));
  };
  const move = (frame) => {
    pause();
    seek(frame);
  };

  find("play").addEventListener("click", play);
  find("back").addEventListener("click", () => move(current - 1));
  find("on").addEventListener("click", () => move(current + 1));
  find("step").addEventListener("input", () => move(Number(find("step").value)));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const own = event.target.closest?.(event.key === " " ? "button, select, summary" : "input, select");
    const keys = { " ": play, ArrowLeft: () => move(current - 1), ArrowRight: () => move(current + 1) };
    keys.Home = () => move(0);
    keys.End = () => move(last);
    if (own || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });

  let before = last;
  window.addEventListener("beforeprint", () => {
    pause();
    before = current;
    seek(last);
  });
  window.addEventListener("afterprint", () => seek(before));

  find("step").max = last;
  for (const element of document.querySelectorAll(".replay")) element.hidden = false;
  seek(last);
})();
