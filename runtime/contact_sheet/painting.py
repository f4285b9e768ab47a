"""Painting a contact sheet: pictures in a grid of equal cells, labels above and to the left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from run_graph.runtime.contact_sheet.layout import Band

Picture = Image.Image | None
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER, INK, EMPTY, LINE = "#ffffff", "#1a1a1a", "#ececec", "#c4c4c4"
MARGIN, GAP = 16, 8
NARROWEST_CELL = 112  # smaller pictures would leave no room for legible labels
LONGEST_LABEL = 4  # lines


def paint(bands: Sequence[Band[Picture]]) -> Image.Image:
    """The sheet, RGB. A cell without a picture is a grey field that says so."""
    grid = _Grid(bands)
    sheet = Image.new("RGB", grid.size, PAPER)
    canvas = ImageDraw.Draw(sheet)
    top = MARGIN
    for band in bands:
        top = _paint_band(sheet, canvas, grid, band, top)
    return sheet


def wrap(text: str, font: Font, width: float) -> list[str]:
    """Lines of at most ``width`` pixels; a text longer than four lines ends in an ellipsis."""
    lines = [""]
    for piece in _pieces(text, font, width):
        longer = f"{lines[-1]} {piece}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(piece)
    if len(lines) > LONGEST_LABEL:
        lines = lines[:LONGEST_LABEL]
        lines[-1] = _shortened(lines[-1], font, width)
    return lines


class _Grid:
    """The sizes that all bands share: cells, fonts, the columns of row labels."""

    def __init__(self, bands: Sequence[Band[Picture]]) -> None:
        pictures = [cell for band in bands for row in band.rows for cell in row.cells if cell is not None]
        self.cell_width = max([NARROWEST_CELL, *(picture.width for picture in pictures)])
        self.cell_height = max([NARROWEST_CELL // 2, *(picture.height for picture in pictures)])
        self.font = label_font(min(28, max(14, self.cell_width // 16)))
        _, top, _, bottom = self.font.getbbox("Ág")
        self.line_height = round((bottom - min(top, 0)) * 1.15)
        self.label_widths = [
            max(self.text_size(row.labels[level])[0] for band in bands for row in band.rows) + 2 * GAP
            for level in range(len(bands[0].rows[0].labels))
        ]
        row_labels = {text for band in bands for row in band.rows for text in row.labels}
        self.row_height = max([self.cell_height, *(self.text_size(text)[1] for text in row_labels)])
        self.left = MARGIN + sum(self.label_widths)
        columns = max(len(row.cells) for band in bands for row in band.rows)
        width = self.left + columns * (self.cell_width + GAP) - GAP + MARGIN
        height = 2 * MARGIN - GAP + sum(self.band_height(band) for band in bands)
        self.size = (width, height)

    def band_height(self, band: Band[Picture]) -> int:
        return self.header_height(band) + len(band.rows) * (self.row_height + GAP)

    def header_height(self, band: Band[Picture]) -> int:
        return max((self.text_size(text)[1] + GAP for text in band.columns), default=0)

    def lines(self, text: str) -> list[str]:
        return wrap(text, self.font, self.cell_width)

    def text_size(self, text: str) -> tuple[int, int]:
        lines = self.lines(text)
        return round(max(self.font.getlength(line) for line in lines)), len(lines) * self.line_height

    def column(self, number: int) -> int:
        return self.left + number * (self.cell_width + GAP)


def _paint_band(
    sheet: Image.Image, canvas: ImageDraw.ImageDraw, grid: _Grid, band: Band[Picture], top: int
) -> int:
    """Paint a band whose upper edge is at ``top``; returns the upper edge of the next band."""
    header = grid.header_height(band)
    for number, text in enumerate(band.columns):
        middle = grid.column(number) + grid.cell_width // 2
        _paint_text(canvas, grid, text, middle, top + (header - GAP) // 2, "mm")
    top += header
    for level, first, count, text in _row_labels(band):
        x = MARGIN + sum(grid.label_widths[:level])
        y = top + first * (grid.row_height + GAP)
        height = count * (grid.row_height + GAP) - GAP
        if count > 1 and first:
            canvas.line((x, y - GAP // 2, grid.size[0] - MARGIN, y - GAP // 2), LINE)
        _paint_text(canvas, grid, text, x, y + height // 2, "lm")
    for row in band.rows:
        for number, picture in enumerate(row.cells):
            _paint_cell(sheet, canvas, grid, picture, grid.column(number), top)
        top += grid.row_height + GAP
    return top


def _row_labels(band: Band[Picture]) -> Iterator[tuple[int, int, int, str]]:
    """Each row label once for the rows that share it: (level, first row, number of rows, text)."""
    for level in range(len(band.rows[0].labels)):
        first = 0
        for number in range(1, len(band.rows) + 1):
            here = band.rows[first].labels[: level + 1]
            if number == len(band.rows) or band.rows[number].labels[: level + 1] != here:
                yield level, first, number - first, here[-1]
                first = number


def _paint_cell(
    sheet: Image.Image, canvas: ImageDraw.ImageDraw, grid: _Grid, picture: Picture, x: int, y: int
) -> None:
    if picture is None:
        canvas.rectangle((x, y, x + grid.cell_width - 1, y + grid.row_height - 1), EMPTY)
        _paint_text(canvas, grid, "no picture", x + grid.cell_width // 2, y + grid.row_height // 2, "mm")
        return
    offset = (grid.cell_width - picture.width) // 2, (grid.row_height - picture.height) // 2
    sheet.paste(picture, (x + offset[0], y + offset[1]))


def _paint_text(canvas: ImageDraw.ImageDraw, grid: _Grid, text: str, x: float, y: float, anchor: str) -> None:
    """Write a label, wrapped and centred vertically at ``y``."""
    lines = grid.lines(text)
    y -= (len(lines) - 1) * grid.line_height / 2
    for line in lines:
        canvas.text((x, y), line, INK, grid.font, anchor=anchor)
        y += grid.line_height


def _pieces(text: str, font: Font, width: float) -> Iterator[str]:
    """Words; those that are wider than a line are cut up."""
    for word in text.split():
        while font.getlength(word) > width and len(word) > 1:
            length = len(word) - 1
            while length > 1 and font.getlength(word[:length]) > width:
                length -= 1
            yield word[:length]
            word = word[length:]
        yield word


def _shortened(line: str, font: Font, width: float) -> str:
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"


@cache
def label_font(size: int) -> Font:
    """Pillow's own font, so that a sheet looks the same on every machine."""
    return ImageFont.load_default(size)
