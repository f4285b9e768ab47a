// Loaded by ComfyUI's editor, as the scripts of custom nodes are.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

// /object_info has ComfyUI's own nodes exactly as ComfyUI has them, for clients that count on it. Here they get
// the widgets and outputs that only run-graph has.
const additions = api.fetchApi("/run_graph/additions").then((response) => response.json());
const OUTPUT_PARTS = ["output", "output_is_list", "output_name", "output_tooltips"];

app.registerExtension({
  name: "run-graph.additions",
  async beforeRegisterNodeDef(nodeType, nodeData) {
    const added = (await additions)[nodeData.name];
    if (!added) return;
    const order = (nodeData.input_order ??= {});
    const { required = {}, optional = {} } = nodeData.input;
    // The editor adds a button to nodes that take a picture. In ComfyUI's files its value comes right behind the
    // picture's, so our widgets must follow it.
    if (Object.values(required).some(([, hints]) => hints?.image_upload)) {
      order.required = [...new Set([...Object.keys(required), "upload"])];
    }
    nodeData.input.optional = { ...optional, ...added.input };
    order.optional = Object.keys(nodeData.input.optional);
    const known = new Set(nodeData.output_name);
    const isNew = (value, index) => !known.has(added.output_name[index]);
    for (const part of OUTPUT_PARTS) {
      nodeData[part] = [...nodeData[part], ...added[part].filter(isNew)];
    }
  },
});
