// Where pages and answers are.

export const BASE = new URL("..", import.meta.url).pathname; // ends with a slash
const ROOT = new URL("../..", import.meta.url).pathname;
const name = encodeURIComponent;

export const studyPage = (study) => `${BASE}study/${name(study)}`;
export const trialPage = (study, number) => `${studyPage(study)}/trial/${number}`;
export const comparePage = (study, numbers) => `${studyPage(study)}/compare?trials=${numbers.join(",")}`;
export const stockPage = (id) => `${ROOT}dashboard/studies/${id}`;
export const stockTrials = (id, number) => `${stockPage(id)}/trials?numbers=${number}`;
export const artifact = (path) => `${ROOT}${path}`;
export const api = (what, study) => `${BASE}api/${what}${study === undefined ? "" : `/${name(study)}`}`;
export const file = (what, study, ending) => `${api(what, study)}.${ending}`;

// What the address in the browser asks for.
export function here() {
  const parts = location.pathname.slice(BASE.length).split("/");
  if (parts[0] === "") return { page: "studies" };
  let study;
  try {
    study = decodeURIComponent(parts[1] ?? "");
  } catch {
    return { page: "missing" };
  }
  const [, , page = "", number = ""] = parts;
  if (page === "") return { page: "study", study };
  if (page === "trial" && /^\d+$/.test(number)) return { page: "trial", study, number: Number(number) };
  if (page === "compare") return { page: "compare", study, trials: new URLSearchParams(location.search).get("trials") ?? "" };
  return { page: "missing" };
}
