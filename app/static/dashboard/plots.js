// The plots of the overview: uPlot replaces the drawings that the server has rendered.
// The live span refreshes with the page, the others every ten seconds.

const section = document.getElementById("plots");
const SLOW = 10_000;
// Between two samples of the server, the live span continues with points taken from the counters.
const recent = [];
let series = JSON.parse(section.dataset.series);
let before = series.counters;
let plots = [];

function colour(name, element = document.documentElement) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

// The lines of a plot are those of its legend.
function lines(name) {
  return [...document.getElementById(name).querySelectorAll("[data-line]")].map((key) => ({
    name: key.dataset.line, label: key.textContent, stroke: colour("--ink", key), dash: key.classList.contains("dashed") ? [4, 3] : undefined,
  }));
}

function seconds(value) {
  if (value == null) return "–";
  if (value < 1) return `${Number((value * 1000).toPrecision(3))}ms`;
  if (value < 300) return `${Number(value.toPrecision(3))}s`;
  return value < 3600 ? `${Math.round(value / 60)}min` : `${Number((value / 3600).toPrecision(2))}h`;
}

function sum(name) {
  const value = series.sums[name];
  return name.startsWith("mean_") ? seconds(value) : value.toLocaleString("en");
}

function clock(at, step) {
  const parts = { hour: "2-digit", minute: "2-digit", ...(step < 60 ? { second: "2-digit" } : {}) };
  return new Date(at * 1000).toLocaleTimeString("en-GB", parts);
}

function perSecond(value) {
  return value == null ? "–" : `${Number(value.toPrecision(3))}/s`;
}

function powers(plot, ticks) {
  return ticks.map((tick) => (Math.abs(Math.log10(tick) - Math.round(Math.log10(tick))) < 1e-6 ? tick : null));
}

function options(name, width) {
  const latency = name === "latencies";
  const show = latency ? seconds : perSecond;
  const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  return {
    width,
    height: 200,
    hooks: { ready: [showLast] },
    legend: { markers: { width: 2, dash: (plot, line) => (plot.series[line].dash ? "dashed" : "solid") } },
    cursor: { sync: { key: "gopher" }, points: { size: 6 }, drag: { x: false, y: false } },
    scales: {
      x: { time: true, range: () => { const now = Date.now() / 1000; return [now - series.span, now]; } },
      y: latency ? { distr: 3 } : { range: (plot, low, high) => [0, Math.max(high || 0, 1) * 1.05] },
    },
    axes: [
      { ...axis, space: 70, values: (plot, ticks, place, room, step) => ticks.map((tick) => clock(tick, step)) },
      { ...axis, size: 56, values: (plot, ticks) => ticks.map((tick) => (tick === null ? "" : show(tick))),
        // Grid lines and labels at powers of ten only.
        ...(latency ? { filter: powers, grid: { ...axis.grid, filter: powers } } : {}),
      },
    ],
    series: [
      {},
      ...lines(name).map(({ label, stroke, dash }) => ({
        label, dash, stroke, width: 1.5, points: { show: false }, value: (plot, value) => show(value),
      })),
    ],
  };
}

function data(name) {
  const last = series.times.at(-1) ?? 0;
  const later = recent.filter((point) => point.at > last);
  const pick = (line, point) => (name === "rates" ? point[line] : null);
  return [
    [...series.times, ...later.map((point) => point.at)],
    ...lines(name).map((line) => [...series[name][line.name], ...later.map((point) => pick(line.name, point))]),
  ];
}

// The legend shows the latest values while the pointer is elsewhere.
function showLast(plot) {
  if (plot.cursor.left < 0) plot.setLegend({ idxs: plot.data.map((line) => line.findLastIndex((value) => value != null)) });
}

function draw() {
  for (const plot of plots) plot.destroy();
  plots = [];
  const empty = series.times.length === 0 && recent.length === 0;
  section.querySelector(".plots").hidden = empty;
  section.querySelector(".waits").hidden = !empty;
  if (empty) return;
  for (const figure of section.querySelectorAll(".plot")) {
    figure.classList.add("drawn");
    const plot = new uPlot(options(figure.dataset.plot, figure.clientWidth), data(figure.dataset.plot), figure);
    plot.name = figure.dataset.plot;
    plots.push(plot);
  }
}

function note(counters) {
  const passed = counters.at - before.at;
  if (passed < 0.5) return;
  const point = {};
  for (const name of Object.keys(counters)) point[name] = Math.max(counters[name] - before[name], 0) / passed;
  point.at = counters.at;
  before = counters;
  recent.push(point);
  if (recent.length > 60) recent.shift();
}

async function refresh() {
  let answer;
  try {
    answer = await fetch(section.dataset.address, { headers: { Accept: "application/json" } });
  } catch {
    return; // The page itself shows that it is disconnected.
  }
  if (!answer.ok || !answer.headers.get("Content-Type").startsWith("application/json")) return;
  series = await answer.json();
  if (section.dataset.span === "5m") note(series.counters);
  for (const place of section.querySelectorAll("[data-sum]")) place.textContent = sum(place.dataset.sum);
  if (plots.length === 0) draw();
  for (const plot of plots) {
    plot.setData(data(plot.name));
    showLast(plot);
  }
}

let asked = Date.now();
document.body.addEventListener("beat", () => {
  if (section.dataset.span !== "5m" && Date.now() - asked < SLOW) return;
  asked = Date.now();
  refresh();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
new ResizeObserver(() => {
  for (const plot of plots) plot.setSize({ width: plot.root.parentElement.clientWidth, height: 200 });
}).observe(section);
draw();
