"""ComfyUI's editor format: what its front end saves, made into the API format as the front end does it.

``reading`` makes JSON into the data of ``document``; ``node_ids`` and ``group_nodes`` bring it into the form
of newer files. ``scopes`` expands subgraphs, ``promotion`` and ``values`` know the values of widgets (by the
classes of ``schema``), ``links`` follows links, and ``conversion`` writes the nodes. The other way round,
``export`` lays a workflow out as a file of the editor, whose nodes ``export_node`` writes.
"""
