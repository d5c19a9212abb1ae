// A list of any length of which only the visible rows are in the page. All rows have the same height.

const SPARE = 6;

/** The rows [first, last) to be made for a view `height` pixels high, scrolled down by `top`. Pure. */
export function visibleRange(top, height, rowHeight, count) {
  const first = Math.max(0, Math.min(count, Math.floor(top / rowHeight) - SPARE));
  const last = Math.max(first, Math.min(count, Math.ceil((top + height) / rowHeight) + SPARE));
  return [first, last];
}

export class VirtualList {
  /** `make(row)` gives an element for a row {key, ...}; `onEnd()` is called when the end is near. */
  constructor({ rowHeight, make, onEnd }) {
    this.rowHeight = rowHeight;
    this.make = make;
    this.onEnd = onEnd;
    this.rows = [];
    this.made = new Map();
    this.frame = 0;
    this.space = document.createElement("div");
    this.space.className = "nanobanana-list-space";
    this.root = document.createElement("div");
    this.root.className = "nanobanana-list";
    this.root.tabIndex = 0;
    this.root.append(this.space);
    this.root.addEventListener("scroll", () => this.#later(), { passive: true });
    this.observer = new ResizeObserver(() => this.#later());
    this.observer.observe(this.root);
  }

  /** Show these rows; with `anew`, make them again even if they are shown already. */
  set(rows, { anew = false } = {}) {
    this.rows = rows;
    if (anew) this.#forget([...this.made.keys()]);
    this.space.style.height = `${rows.length * this.rowHeight}px`;
    this.#draw();
  }

  #later() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const [first, last] = visibleRange(this.root.scrollTop, this.root.clientHeight, this.rowHeight, this.rows.length);
    const wanted = new Map();
    for (let at = first; at < last; at += 1) wanted.set(this.rows[at].key, at);
    this.#forget([...this.made.keys()].filter((key) => !wanted.has(key)));
    for (const [key, at] of wanted) {
      const row = this.rows[at];
      let entry = this.made.get(key);
      // The call may have changed: then its row is made again.
      if (entry && entry.row.call !== row.call) {
        entry.element.remove();
        entry = undefined;
      }
      if (!entry) {
        entry = { row, element: this.make(row) };
        entry.element.style.height = `${this.rowHeight}px`;
        this.made.set(key, entry);
        this.space.append(entry.element);
      }
      entry.element.style.transform = `translateY(${at * this.rowHeight}px)`;
    }
    if (last >= this.rows.length - SPARE * 2) this.onEnd();
  }

  #forget(keys) {
    for (const key of keys) {
      this.made.get(key)?.element.remove();
      this.made.delete(key);
    }
  }
}
