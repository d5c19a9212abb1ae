// What can be done with an image: "Edit with NanoBanana" on every node that gives one, and the menu of an image on a node.
import { addNode, app, confirm, copyImage, focusText, request, routeUrl, saveAs, toast } from "./host.js";
import { t } from "./i18n.js";

const EDIT = "NanoBananaGatewayEdit";
const RECALL = "NanoBananaGatewayRecall";
const PREVIEW = "PreviewImage";
const PREVIEW_SIZE = [300, 330];
const GAP = 60;

const has = (kind) => (slot) => String(slot.type).toUpperCase().split(",").includes(kind);

/** Which output of a node is an image; -1 for none. */
export const imageOutput = (node) => (node.outputs ?? []).findIndex(has("IMAGE"));

const behind = (node) => [node.pos[0] + node.size[0] + GAP, node.pos[1]];

/** Put an Edit node behind `node`, wired to its image and mask, with a preview, and the cursor in its prompt. */
export function editWith(node) {
  const output = imageOutput(node);
  if (output < 0) return null;
  const edit = addNode(EDIT, behind(node));
  if (!edit) return null;
  node.connect(output, edit, edit.inputs.findIndex(has("IMAGE")));
  // The mask of our own nodes marks what is transparent, not what is to change.
  const mask = node.type.startsWith("NanoBananaGateway") ? -1 : (node.outputs ?? []).findIndex(has("MASK"));
  if (mask >= 0) node.connect(mask, edit, edit.inputs.findIndex(has("MASK")));
  addPreview(edit);
  app.canvas?.selectItems?.([edit]);
  focusText(edit, "prompt");
  return edit;
}

/** Edit the image of the selected node. */
export function editSelected() {
  const selected = [...(app.canvas?.selectedItems ?? [])].find((item) => item.outputs && imageOutput(item) >= 0);
  return selected ? editWith(selected) : null;
}

/** A preview of a node's images, without which the host runs nothing. */
export function addPreview(node) {
  const preview = addNode(PREVIEW, behind(node), PREVIEW_SIZE);
  if (preview) node.connect(imageOutput(node), preview, preview.inputs.findIndex(has("IMAGE")));
  app.canvas?.setDirty?.(true, true);
  return preview;
}

/** The Recall node that is selected, alone. */
export function selectedRecall() {
  const selected = [...(app.canvas?.selectedItems ?? [])];
  return selected.length === 1 && selected[0].type === RECALL ? selected[0] : null;
}

/** An image of the history in a Recall node, `there` or a new one: nothing before it runs, nothing is bought again. */
export function recall(id, position = null, there = null) {
  const node = there ?? addNode(RECALL, position);
  const widget = node?.widgets?.find((one) => one.name === "picture");
  if (!widget) {
    toast("error", t("history.no_recall"));
    return null;
  }
  widget.value = id;
  widget.callback?.(id);
  return node;
}

/** What the menu of an image on `node` offers: [{name, text, run}]. */
export function imageActions(node, picture) {
  const original = routeUrl(`/pictures/${picture.id}/original`);
  const actions = {
    open: () => window.open(original, "_blank", "noopener"),
    edit: () => {
      const source = recall(picture.id, behind(node));
      if (source) editWith(source);
    },
    use: () => recall(picture.id, behind(node)),
    save: () => saveAs(original, `nanobanana-${picture.id}`),
    copy: async () => toast("success", (await copyImage(original)) ? t("image.copied") : t("image.not_copied")),
    remove: async () => {
      if (!(await confirm(t("image.remove_title"), t("image.remove_message")))) return;
      const cleared = await request("/history/clear", { method: "POST", body: { pictures: [picture.id] } });
      toast("success", t("clear.done", { calls: cleared.calls, pictures: cleared.pictures }));
    },
  };
  const safe = (work) => async () => {
    try {
      await work();
    } catch (error) {
      toast("error", error.message, error.hint);
    }
  };
  return Object.entries(actions).map(([name, work]) => ({ name, text: t(`image.${name}`), run: safe(work) }));
}
