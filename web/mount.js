// What a node of ours shows below its widgets: an element that the node grows with, in both renderers.
const MOST_HEIGHT = 340;
// A panel's height while it shows a line alone: the one that saved workflows are written with.
const REST = 34;

/** Call `after` behind a callback that an object may have. What `after` throws never stops the host's own work. */
export function chain(object, name, after) {
  const before = object[name];
  object[name] = function (...given) {
    const result = before?.apply(this, given);
    try {
      after(...given);
    } catch (error) {
      console.error(`NanoBanana: ${name}`, error);
    }
    return result;
  };
}

/** Put a panel, {root, content}, on a node, which grows with it. Returns the panel's entry: {panel, height}. */
export function mount(node, panel, name) {
  const entry = { panel, height: REST, frame: 0 };
  const widget = node.addDOMWidget(name, "NANOBANANA_STATUS", panel.root, {
    serialize: false,
    hideOnZoom: false,
    hideInPanel: true,
    margin: 6,
    getMinHeight: () => entry.height,
    getMaxHeight: () => entry.height,
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false;
  const observer = new ResizeObserver(() => fit(node, entry));
  chain(node, "onRemoved", () => observer.disconnect());
  chain(node, "onConfigure", () => (entry.height = REST));
  // A run changes the node's height for as long as it is shown, not in the workflow.
  chain(node, "onSerialize", (saved) => {
    if (saved?.size) saved.size = [saved.size[0], saved.size[1] - (entry.height - REST)];
  });
  observer.observe(panel.content);
  return entry;
}

/** Vue nodes lay a panel out by themselves; on the canvas a node must be told to grow. */
export function fit(node, entry) {
  cancelAnimationFrame(entry.frame);
  entry.frame = requestAnimationFrame(() => {
    const { content } = entry.panel;
    // Nothing is known of it while it isn't laid out.
    if (!content.isConnected || content.offsetParent === null) return;
    const height = content.offsetHeight;
    const wanted = Math.max(REST, Math.min(MOST_HEIGHT, height) + 12);
    if (Math.abs(wanted - entry.height) < 2) return;
    // The prompt keeps its height: what the panel needs is added, and taken away again when no longer needed.
    const grown = node.size[1] + wanted - entry.height;
    entry.height = wanted;
    node.setSize([node.size[0], Math.max(node.computeSize()[1], grown)]);
    node.graph?.setDirtyCanvas?.(true, true);
  });
}
