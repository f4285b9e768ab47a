// Loaded by ComfyUI's editor, as the scripts of custom nodes are.
import { app } from "../../scripts/app.js";

// The editor adds a button to nodes that take a picture. In ComfyUI's files its value comes right behind the
// picture's, so the widgets that only run-graph has must follow it.
app.registerExtension({
  name: "run-graph.widget-order",
  beforeRegisterNodeDef(nodeType, nodeData) {
    const required = Object.values(nodeData.input?.required ?? {});
    if (required.some(([, hints]) => hints?.image_upload)) {
      nodeData.input_order?.required?.push("upload");
    }
  },
});
