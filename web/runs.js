// Pure: what is known of each node's last run, kept while workflows come and go, and what to show of it.
import { costText, headline, spoken } from "./status_text.js";

const MOST_PICTURES = 16;
const MOST_NODES = 200;

/** The last run of every node, by workflow and execution id. */
export class RunStore {
  #runs = new Map();

  /** Take an event; returns the run it belongs to. `kind`: "status" or "picture". */
  take(kind, event) {
    const key = `${event.workflow}/${event.node}`;
    let run = this.#runs.get(key);
    // The last image of a run may come when its end was told and the next run has begun.
    if (kind === "picture" && run?.before === event.run) return run;
    if (!run || run.run !== event.run) {
      const { run: id, workflow, node } = event;
      run = { run: id, before: run?.run, workflow, node, status: null, pictures: [], received: 0 };
    }
    // The newest go last, so the oldest are forgotten first.
    this.#runs.delete(key);
    this.#runs.set(key, run);
    if (kind === "status") run.status = event;
    else this.#addPicture(run, event);
    while (this.#runs.size > MOST_NODES) this.#runs.delete(this.#runs.keys().next().value);
    return run;
  }

  #addPicture(run, event) {
    const { id, width, height, free, image, place } = event;
    run.received += 1;
    run.pictures.push({ key: `${run.run}/${run.received}`, id, width, height, free, image, place });
    // As the node gives them out, not as they come.
    run.pictures.sort((one, other) => compare(one.place, other.place));
    if (run.pictures.length > MOST_PICTURES) run.pictures.pop();
  }

  /** The runs of a workflow's nodes. */
  of(workflow) {
    return [...this.#runs.values()].filter((run) => run.workflow === workflow);
  }

  /** The host ended the run, and its last event never came. Returns the runs that this changed. */
  end(runId, state) {
    const open = [...this.#runs.values()].filter((run) => run.run === runId && run.status?.state === "running");
    for (const run of open) run.status = { ...run.status, state, calls: [], seconds: 0 };
    return open;
  }
}

function compare(one, other) {
  const at = one.findIndex((part, index) => part !== other[index]);
  return at < 0 ? 0 : one[at] - other[at];
}

const TONES = { running: "running", done: "done", failed: "failed", background: "running", stored: "done", cancelled: "quiet" };

/**
 * What a panel shows of a run (null: nothing has run) and of the next one. `setup`: what is to be said of the settings,
 * see panel.js. `wired`: whether anything gets the node's images. `usual`: how many seconds a call takes. `ready`: the settings were missing, and are there now.
 */
export function viewOf(run, { estimate, setup, ready = false, wired = true, usual = 0, previews }, t) {
  const status = run?.status ?? null;
  const pictures = previews && run ? run.pictures : [];
  if (!status) {
    const nothing = { headline: "", spoken: "", tone: "quiet", progress: null, cost: "", warnings: [], errors: [], failed: 0 };
    if (ready) Object.assign(nothing, { headline: t("setup.ready"), spoken: t("setup.ready") });
    return { estimate, setup, ...nothing, pictures, actions: setup ? [] : wiring(wired, t) };
  }
  const running = status.state === "running";
  const partly = status.state === "done" && status.failed > 0;
  return {
    estimate,
    // What is missing is said once: by the run that failed of it.
    setup: status.errors.some((error) => error.kind === "config") ? "wrong" : setup,
    headline: headline(status, t, usual),
    spoken: spoken(status, t),
    tone: partly ? "warning" : (TONES[status.state] ?? "quiet"),
    progress: running ? status.progress : null,
    cost: costText(status, t),
    pictures,
    warnings: status.warnings,
    errors: status.errors,
    failed: partly ? status.failed : 0,
    actions: [...wiring(wired, t), ...actionsOf(status, t)],
  };
}

// The host runs only what leads to an output.
const wiring = (wired, t) => (wired ? [] : [{ name: "preview", text: t("action.preview") }]);

/** What a person may want next: [{name, text}]. */
function actionsOf(status, t) {
  if (status.state === "running") return [];
  const names = [];
  if (status.state === "background") names.push("stop");
  else if (status.state === "done" && status.failed) names.push("missing");
  else if (status.state !== "done") names.push("retry");
  if (status.delivered && status.state !== "background") names.push("new");
  if (status.going_on || status.billed || status.maybe_billed) names.push("history");
  return names.map((name) => ({ name, text: t(`action.${name}`, { count: status.failed }) }));
}

/** The seed that an action runs with; null leaves it: a run that made no call had none. */
export function seedFor(name, status) {
  if (name === "new") return Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
  // What is missing belongs to the seed of that run.
  const last = status?.seed ? Number(status.seed) : NaN;
  return Number.isSafeInteger(last) ? last : null;
}
