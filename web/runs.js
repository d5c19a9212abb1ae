// Pure: what is known of each node's last run, kept while workflows come and go, and what to show of it.
import { costText, headline } from "./status_text.js";

const MOST_PICTURES = 16;
const MOST_NODES = 200;

/** The last run of every node, by workflow and execution id. */
export class RunStore {
  #runs = new Map();

  /** Take an event; returns the run it belongs to. `kind`: "status" or "picture". */
  take(kind, event) {
    const key = `${event.workflow}/${event.node}`;
    let run = this.#runs.get(key);
    if (!run || run.run !== event.run) {
      run = { run: event.run, workflow: event.workflow, node: event.node, status: null, pictures: [], received: 0 };
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
    const { id, width, height, free, image } = event;
    run.received += 1;
    run.pictures.push({ key: `${run.run}/${run.received}`, id, width, height, free, image });
    if (run.pictures.length > MOST_PICTURES) run.pictures.shift();
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

const TONES = { running: "running", done: "done", failed: "failed", background: "running", cancelled: "quiet" };

/** What a panel shows of a run (null: nothing has run) and of the next one. */
export function viewOf(run, { estimate, setup, previews }, t) {
  const status = run?.status ?? null;
  const pictures = previews && run ? run.pictures : [];
  if (!status) {
    return { estimate, setup, headline: "", tone: "quiet", progress: null, cost: "", pictures, warnings: [], errors: [] };
  }
  const running = status.state === "running";
  return {
    estimate,
    setup: setup || status.errors.some((error) => error.kind === "config"),
    headline: headline(status, t),
    tone: TONES[status.state] ?? "quiet",
    progress: running ? status.progress : null,
    cost: costText(status, t),
    pictures,
    warnings: status.warnings,
    errors: status.errors,
  };
}
