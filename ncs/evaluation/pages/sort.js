
// Sorts a table of class "sortable" by the column whose heading is pressed; a cell's value is its data-value or its text.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const number = text => (text === "" || isNaN(text) ? null : Number(text));
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)], [n, m] = [number(x), number(y)];
        return n !== null && m !== null ? n - m : x.localeCompare(y);
      };
      const rows = [...table.tBodies[0].rows].sort(compare);
      table.tBodies[0].append(...(down ? rows.reverse() : rows));
    };
  });
}
