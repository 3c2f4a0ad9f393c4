// Progressive enhancement: refresh the figures every two seconds, and copy buttons. Pages work without scripts.

if (navigator.clipboard) document.body.classList.add("can-copy");

const BEAT = 2000;
const live = document.getElementById("live");
const control = document.getElementById("live-switch");
const word = document.getElementById("live-word");

function isLive() {
  return control.getAttribute("aria-pressed") === "true";
}

function tell(text, stale) {
  if (word.textContent !== text) word.textContent = text;
  control.classList.toggle("stale", stale);
}

function beat() {
  if (isLive() && document.visibilityState === "visible") document.body.dispatchEvent(new Event("beat"));
}

function answered(well) {
  if (isLive()) tell(well ? "Live" : "Disconnected", !well);
}

function setLive(on) {
  control.setAttribute("aria-pressed", String(on));
  tell(on ? "Live" : "Paused", false);
  sessionStorage.setItem("live", on ? "on" : "off");
  if (on) beat();
}

if (control && live?.hasAttribute("hx-get")) {
  control.hidden = false;
  control.addEventListener("click", () => setLive(!isLive()));
  if (sessionStorage.getItem("live") === "off") setLive(false);
  document.addEventListener("visibilitychange", beat);
  document.body.addEventListener("htmx:after:request", (event) => answered(event.detail.ctx.response.status < 400));
  document.body.addEventListener("htmx:error", () => answered(false));
  setInterval(beat, BEAT);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});
