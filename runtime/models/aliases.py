"""The short names of models: the built-in ones, and those of published repositories."""

TINY = "tiny"
TINY_SCHNELL = "tiny-schnell"

# mflux 0.24 pins the same revisions, so that both programs share one download.
FLUX_ALIASES = {
    "schnell": ("black-forest-labs/FLUX.1-schnell", "741f7c3ce8b383c54771c7003378a50191e9efe9"),
    "dev": ("black-forest-labs/FLUX.1-dev", "3de623fc3c33e44ffbe2bad470d0f45bccf2eb21"),
    "krea-dev": ("black-forest-labs/FLUX.1-Krea-dev", "8162a9c7b05a641be098422bf2fcf335615c2f28"),
}
REDUX_ALIASES = {
    "dev-redux": ("black-forest-labs/FLUX.1-Redux-dev", "c95859fbf7703ca4d6824b4da4407d7cd0434f81"),
}

UNGATED = "schnell"  # for which no licence has to be accepted
REDUX = "dev-redux"
