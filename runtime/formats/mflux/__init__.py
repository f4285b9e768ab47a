"""mflux's recorded settings, and the workflow that they mean.

===========  ========================================================================================
settings     what is known of how a picture is to be made, under mflux's names; any of it may be missing
recorded     settings read from a picture or a sidecar
parameters   those of sampling and decoding, read off the nodes that declare them
recipe       settings with all gaps filled, as mflux fills them
workflow     the native graph that a recipe means
coverage     what of another graph its settings cannot express
===========  ========================================================================================
"""
