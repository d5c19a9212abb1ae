// "Edit with NanoBanana" on every node that gives an image.
import { addNode, app } from "./host.js";

const EDIT = "NanoBananaGatewayEdit";
const GAP = 60;

const isImage = (type) => String(type).toUpperCase().split(",").includes("IMAGE");

/** Which output of a node is an image; -1 for none. */
export const imageOutput = (node) => (node.outputs ?? []).findIndex((output) => isImage(output.type));

/** Put an Edit node to the right of `node`, wired to its image. */
export function editWith(node) {
  const output = imageOutput(node);
  if (output < 0) return null;
  const edit = addNode(EDIT, [node.pos[0] + node.size[0] + GAP, node.pos[1]]);
  const input = (edit?.inputs ?? []).findIndex((slot) => isImage(slot.type));
  if (input >= 0) node.connect(output, edit, input);
  app.canvas?.setDirty?.(true, true);
  return edit;
}

/** Edit the image of the selected node. */
export function editSelected() {
  const selected = [...(app.canvas?.selectedItems ?? [])].find((item) => item.outputs && imageOutput(item) >= 0);
  return selected ? editWith(selected) : null;
}
