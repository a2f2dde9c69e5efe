"use strict";
(function () {
  var table = document.getElementById("instances");
  if (!table) return;
  var body = table.tBodies[0];
  var rows = Array.prototype.slice.call(body.rows);
  var heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
  var shown = document.getElementById("shown");

  function value(row, column, numeric) {
    var cell = row.cells[column];
    var text = cell.dataset.value === undefined ? cell.textContent.trim() : cell.dataset.value;
    return numeric ? (text === "" ? Infinity : Number(text)) : text.toLowerCase();
  }

  function sort(head, column) {
    var descending = head.getAttribute("aria-sort") === "ascending";
    var numeric = head.dataset.kind === "number";
    heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    rows.map(function (row, place) { return [value(row, column, numeric), place, row]; })
      .sort(function (a, b) {
        var order = a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
        return (descending ? -order : order) || a[1] - b[1];
      })
      .forEach(function (entry) { body.appendChild(entry[2]); });
  }

  heads.forEach(function (head, column) {
    if (head.dataset.kind === "none") return;
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.title = "Sort by " + head.textContent;
    head.textContent = "";
    head.appendChild(button);
    button.addEventListener("click", function () { sort(head, column); });
  });

  var tools = document.getElementById("tools");
  var word = document.getElementById("word");
  var verdict = document.getElementById("verdict");
  var group = document.getElementById("group");

  function filter() {
    var wanted = word.value.trim().toLowerCase(), count = 0;
    rows.forEach(function (row) {
      var fits = (!verdict.value || row.dataset.verdict === verdict.value) &&
        (!group.value || row.dataset.group === group.value) &&
        (!wanted || row.textContent.toLowerCase().indexOf(wanted) >= 0);
      row.hidden = !fits;
      count += fits ? 1 : 0;
    });
    shown.textContent = count + " of " + rows.length + " instances shown";
  }

  [word, verdict, group].forEach(function (input) { input.addEventListener("input", filter); });
  tools.hidden = false;
  filter();
})();
