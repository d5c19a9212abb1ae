// Pure: the history as rows, page by page. One row for each image; a call that brought none is a row too.

const PAGE = 200;

/** The rows of one call: {key, call, picture}; `picture` is null if the call brought none. */
export function rowsOf(call) {
  if (!call.pictures.length) return [{ key: `${call.id}`, call, picture: null }];
  return call.pictures.map((picture) => ({ key: `${call.id}/${picture.id}`, call, picture }));
}

export class HistoryStore {
  /** `fetchPage({before, limit, search})` resolves to {calls, before}. */
  constructor(fetchPage) {
    this.fetchPage = fetchPage;
    this.search = "";
    this.reset();
  }

  reset() {
    this.rows = [];
    this.before = null;
    this.complete = false;
    this.loading = null;
    // Answers to requests made before this are no longer wanted.
    this.round = (this.round ?? 0) + 1;
  }

  /** Load the next page; resolves to whether it brought rows. One load at a time. */
  more() {
    if (this.complete) return Promise.resolve(false);
    return this.loading ?? this.#start(this.#load(this.round));
  }

  // A reset may have begun another load by the time this one ends.
  #start(loading) {
    this.loading = loading;
    const ended = () => {
      if (this.loading === loading) this.loading = null;
    };
    loading.then(ended, ended);
    return loading;
  }

  async #load(round) {
    const page = await this.fetchPage({ before: this.before, limit: PAGE, search: this.search });
    if (round !== this.round) return false;
    this.rows.push(...page.calls.flatMap(rowsOf));
    this.before = page.before;
    this.complete = page.before === null;
    return page.calls.length > 0;
  }

  /** Fetch what is new or has changed at the top, and leave the rest as it is. */
  async refresh() {
    // Two loads at a time would bring the same rows twice.
    while (this.loading) await this.loading.catch(() => {});
    return this.#start(this.#refresh(this.round));
  }

  async #refresh(round) {
    const page = await this.fetchPage({ before: null, limit: PAGE, search: this.search });
    if (round !== this.round) return;
    const oldest = page.calls.at(-1)?.id ?? null;
    const known = this.rows.findIndex((row) => oldest === null || row.call.id < oldest);
    const overlaps = this.rows.some((row) => row.call.id === oldest);
    if (!overlaps || page.before === null) {
      // Nothing to join on, or everything is in this page.
      this.rows = page.calls.flatMap(rowsOf);
      this.before = page.before;
      this.complete = page.before === null;
      return;
    }
    this.rows = [...page.calls.flatMap(rowsOf), ...(known < 0 ? [] : this.rows.slice(known))];
    if (known < 0) {
      this.before = page.before;
      this.complete = false;
    }
  }

  /** Replace a call with what it is now. */
  update(call) {
    const at = this.rows.findIndex((row) => row.call.id === call.id);
    if (at < 0) return;
    const count = this.rows.filter((row) => row.call.id === call.id).length;
    this.rows.splice(at, count, ...rowsOf(call));
  }
}
