"""How one step leads from a noise level to the next: a function of a flow and a state, by family.

In their formulas x are the latents, s is the noise level of the step and s' the next one, v the velocity, D
the denoised picture, d = (x - D) / s, which is v, and U the negative's D; n is the next draw of noise. Their
keyword parameters are the options of ComfyUI's sampler nodes, with its defaults.
"""
