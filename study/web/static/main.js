// Shows the page that the address asks for.

import { el, show } from "./dom.js";
import { comparePage, here, studyPage } from "./places.js";
import { compareView } from "./compare.js";
import { studiesView } from "./studies.js";
import { studyView } from "./study.js";
import { trialView } from "./trial.js";

const main = document.getElementById("main");
const at = here();

function crumb(text, address) {
  document.getElementById("crumbs").append(el("span", { "aria-hidden": "true" }, "/"), el("a", { href: address }, text));
}

function refuse(error) {
  show(main, el("p", { class: "problem", role: "alert" }, error.message), el("p", {}, el("a", { href: "." }, "Try again")));
}

if (at.study !== undefined) crumb(at.study, studyPage(at.study));
if (at.page === "trial") crumb(`trial ${at.number}`, location.pathname);
if (at.page === "compare") crumb("compare", comparePage(at.study, at.trials.split(",")));
document.title = [at.page === "trial" ? `trial ${at.number}` : "", at.study ?? "", "Studyhall"].filter(Boolean).join(" · ");

const views = {
  studies: () => studiesView(main, refuse),
  study: () => studyView(main, refuse, at.study),
  trial: () => trialView(main, refuse, at.study, at.number),
  compare: () => compareView(main, refuse, at.study, at.trials),
  missing: () => refuse(new Error("there is no such page")),
};
views[at.page]();
