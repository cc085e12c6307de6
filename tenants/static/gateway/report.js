// The usage report's chart, and its period fields. Names come as JSON and are only ever drawn as text.
const period = document.getElementById("id_period");
const showCustom = () => document.querySelectorAll("[data-custom]").forEach((label) => { label.hidden = period.value !== "custom"; });
period.addEventListener("change", showCustom);
showCustom();

const data = document.getElementById("chart-data");
if (data) {
  const { labels, time, good, errors, tokens } = JSON.parse(data.textContent);
  const colour = getComputedStyle(document.body).color;
  const grid = "rgba(128, 128, 128, 0.2)";
  const short = (text) => (text.length > 28 ? text.slice(0, 27) + "…" : text);
  const axis = (title, side, extra) => ({ position: side, beginAtZero: true, title: { display: true, text: title, color: colour }, ticks: { color: colour, precision: 0 }, grid: { color: grid }, ...extra });
  new Chart(document.getElementById("chart"), {
    type: "bar",
    data: {
      labels,
      datasets: [
        { label: "Requests that went well", data: good, stack: "requests", backgroundColor: "#3b82c4", maxBarThickness: 48 },
        { label: "Errors", data: errors, stack: "requests", backgroundColor: "#d9534f", maxBarThickness: 48 },
        { label: "Tokens in and out", data: tokens, type: time ? "line" : "bar", yAxisID: "tokens", borderColor: "#8a6fc2", backgroundColor: "#8a6fc2", tension: 0.25, pointRadius: 2, maxBarThickness: 24 },
      ],
    },
    options: {
      responsive: true,
      maintainAspectRatio: false,
      animation: false,
      interaction: { mode: "index", intersect: false },
      plugins: { legend: { labels: { color: colour } } },
      scales: {
        x: { stacked: true, ticks: { color: colour, callback(value) { return short(this.getLabelForValue(value)); } }, grid: { display: false } },
        y: axis("requests", "left", { stacked: true }),
        tokens: axis("tokens", "right", { grid: { drawOnChartArea: false } }),
      },
    },
  });
}
