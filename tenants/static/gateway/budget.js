// Says under the form of a budget what its period means, as it is typed.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
    const shown = document.getElementById("budget-preview");
    const form = document.getElementById("budget_form");
    if (!shown || !form || !form.elements.period) return;
    const names = ["period", "zone", "first_day", "begins_at_0", "begins_at_1", "ends_at_0", "ends_at_1"];
    const place = form.elements.period.closest("fieldset");
    if (place) place.append(shown);
    let asked = 0;
    const look = async () => {
        const mine = ++asked;
        const query = new URLSearchParams(names.map((name) => [name, form.elements[name] ? form.elements[name].value : ""]));
        const reply = await fetch(`${shown.dataset.url}?${query}`, { headers: { accept: "application/json" } });
        if (!reply.ok || mine !== asked) return;
        const said = await reply.json();
        shown.lastElementChild.textContent = said.says || said.wrong;
        shown.classList.toggle("gw-bad", Boolean(said.wrong));
        shown.hidden = false;
    };
    form.addEventListener("change", (event) => names.includes(event.target.name) && look());
    form.addEventListener("input", (event) => names.includes(event.target.name) && look());
    look();
});
