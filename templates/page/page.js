"use strict";
(function () {
  const all = function (what) { return Array.from(document.querySelectorAll(what)); };

  // A link to a job opens its section.
  const open = function () {
    const found = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const section = found ? found.closest("details") : null;
    if (section) { section.open = true; section.scrollIntoView(); }
  };
  window.addEventListener("hashchange", open);
  open();

  // A page that nobody makes any more looks as calm as on its last day.
  const made = document.querySelector("[data-at]");
  const old = document.createElement("strong");
  made.after(old);
  const age = function () {
    const minutes = Math.floor((Date.now() - Date.parse(made.dataset.at)) / 60000);
    const hours = Math.floor(minutes / 60);
    old.textContent = "This page is " + (hours ? hours + " h" : minutes + " min") + " old.";
    old.hidden = !(minutes >= 5);
  };
  age();
  setInterval(age, 30000);

  // A field that leaves only the jobs with this text in their name.
  const jobs = all("details.job");
  if (jobs.length === 0) { return; }
  const label = document.createElement("label");
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "only jobs whose name has …";
  field.setAttribute("aria-label", "Only jobs whose name has this text");
  label.className = "filter";
  label.append(field);
  document.querySelector(".heads").before(label);
  const rows = jobs.map(function (job) { return [job, job.querySelector(".name")]; })
    .concat(all(".lanes tbody tr").map(function (row) { return [row, row.cells[0]]; }));
  field.addEventListener("input", function () {
    const text = field.value.trim().toLowerCase();
    rows.forEach(function (row) {
      row[0].hidden = !row[1].textContent.toLowerCase().includes(text);
    });
  });
})();
