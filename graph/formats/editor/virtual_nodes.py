"""Nodes that exist in the editor only: reroutes, notes, primitives, and what hides links behind names.

Sources: the front end's core extensions (Reroute, Note, MarkdownNote, PrimitiveNode), ComfyUI-KJNodes
``web/js/setgetnodes.js``, ComfyUI-Easy-Use ``getset.js`` and ``bookmark.js``, rgthree-comfy's classes that
derive from its virtual base node.
"""

PRIMITIVE = "PrimitiveNode"
"""Holds a value that the editor copies into the widgets that it is linked to."""

REROUTES = {"Reroute", "Reroute (rgthree)"}
"""What comes in at a slot goes out at the same slot."""

SETTERS = {"SetNode", "easy setNode"}
"""Pass their input on, and give it the name that is their first value."""

GETTERS = {"GetNode": "SetNode", "easy getNode": "easy setNode"}
"""Deliver what the setter of the same name was given; the class of that setter."""

_WITHOUT_EFFECT = {
    "Note",
    "MarkdownNote",
    "easy bookmark",
    *(
        f"{name} (rgthree)"
        for name in (
            "Bookmark",
            "Fast Actions Button",
            "Fast Bypasser",
            "Fast Groups Bypasser",
            "Fast Groups Muter",
            "Fast Muter",
            "Label",
            "Mute / Bypass Relay",
            "Mute / Bypass Repeater",
            "Node Collector",
            "Power Conductor",
            "Random Unmuter",
        )
    ),
}

FORWARDING = REROUTES | SETTERS

VIRTUAL = FORWARDING | GETTERS.keys() | _WITHOUT_EFFECT | {PRIMITIVE}
"""All of them; none becomes a node of the workflow."""
