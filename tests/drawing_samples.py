"""Node classes and workflows that the tests of drawings, schema and reference share."""

from typing import Any, Literal

from run_graph.graph import Context, Field, Lazy, Node, Outputs, Registry, SocketValue, Workflow


class Image(SocketValue):
    socket_type = "IMAGE"


class Mask(SocketValue):
    socket_type = "MASK"


class Tokens(SocketValue):
    socket_type = "REDUX_TOKENS"


class Loaded(Outputs):
    image: Image = Field(description="The picture.")
    mask: Mask = Field(description="1 where it is transparent.")


class Encoded(Outputs):
    tokens: Tokens


class Saved(Outputs):
    path: str


class LoadImage(Node):
    """Read a picture from a file.

    Its orientation tag is applied.
    """

    category = "image"

    image: str = Field(description="The file's name.", json_schema_extra={"image_upload": True})

    def run(self, ctx: Context) -> Loaded:
        raise NotImplementedError


class Encode(Node):
    """Turn a picture into tokens."""

    category = "vision"

    image: Image = Field(description="The picture.")
    mask: Mask | None = Field(None, description="Where to look; everywhere if it is not linked.")
    mode: Literal["low", "high"] = Field("low", description="How many: low | high.")
    strength: float = Field(1.0, ge=0, le=1, description="How much.")
    size: int = Field(64, ge=16, multiple_of=16, description="Side in pixels.")
    factor: float | None = Field(None, ge=1, le=9, description="Overrides mode.")

    def run(self, ctx: Context) -> Encoded:
        raise NotImplementedError


class Choose(Node):
    """One of two."""

    first: bool = Field(True, description="Which.")
    a: Lazy[Tokens] = Field(description="Taken if first.")
    b: Lazy[Tokens] = Field(description="Taken if not.")
    note: Any = Field(None, description="Anything.")

    def run(self, ctx: Context) -> Encoded:
        raise NotImplementedError


class Save(Node):
    """Write tokens to a file."""

    category = "image"
    is_output = True

    tokens: Tokens = Field(description="What to write.")
    filename_prefix: str = Field("out", description="How the name begins.")

    def run(self, ctx: Context) -> Saved:
        raise NotImplementedError


REGISTRY = Registry([LoadImage, Encode, Choose, Save])


def workflow(**nodes: dict[str, Any]) -> Workflow:
    return Workflow.from_json(nodes)


def node(class_type: str, title: str | None = None, **inputs: Any) -> dict[str, Any]:
    meta = {} if title is None else {"_meta": {"title": title}}
    return {"class_type": class_type, "inputs": inputs, **meta}


TWO_PICTURES = workflow(
    photo=node("LoadImage", "Photo of a fox", image="fox.png"),
    other=node("LoadImage", image="sunset.png"),
    a=node("Encode", image=["photo", "image"], mask=["photo", 1], mode="high"),
    b=node("Encode", image=["other", 0], strength=0.25),
    pick=node("Choose", a=["a", 0], b=["b", "tokens"], first=True),
    save=node("Save", tokens=["pick", 0], filename_prefix="fox"),
)

FAULTY = workflow(
    photo=node("LoadImagee", image="fox.png"),
    a=node("Encode", image=["photo", "image"], mask=["gone", 1]),
    b=node("Encode", wrong=["a", 7], size=[1, 2, 3]),
    c=node("Choose", a=["d", 0], b=["b", 0]),
    d=node("Choose", a=["c", 0], b=["d", 0]),
)
