// Puts each newly rendered state in the place of the one before. Without this script the page
// reloads itself.
const place = document.getElementById("live");
const status = document.getElementById("status");
const events = new EventSource("/live/events");
events.onmessage = (event) => {
  place.innerHTML = event.data;
};
events.onopen = () => {
  status.textContent = "Live";
  status.dataset.state = "open";
};
events.onerror = () => {
  status.textContent = "Connecting again…";
  status.dataset.state = "lost";
};
