"""The options of image_resize: where to cut, padding, enlarging, bytes, several sizes, presets, other formats."""

import io
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from PIL import Image, ImageDraw

from gopher.errors import Discard, InvalidJob
from gopher.handlers.pictures import PictureRefused, Wanted, make
from gopher.handlers.pictures.geometry import UPRIGHT, stored

PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002
    target = io.BytesIO()
    picture.save(target, format, **options)
    return target.getvalue()


def thirds(size: tuple[int, int] = (300, 100)) -> Image.Image:
    """Red, green and blue side by side, or one below the other in an upright picture."""
    picture = Image.new("RGB", size)
    draw = ImageDraw.Draw(picture)
    for at, colour in enumerate((RED, GREEN, BLUE)):
        if size[0] > size[1]:
            draw.rectangle((size[0] * at // 3, 0, size[0] * (at + 1) // 3 - 1, size[1]), colour)
        else:
            draw.rectangle((0, size[1] * at // 3, size[0], size[1] * (at + 1) // 3 - 1), colour)
    return picture


def one(content: bytes, **options: Any) -> Image.Image:
    picture = make(content, [Wanted(**{"format": "png", **options})])[1][0]
    with Image.open(io.BytesIO(picture.content)) as opened:
        opened.load()
        assert opened.size == picture.size
        return opened


@pytest.mark.parametrize(
    ("size", "gravity", "colour"),
    [
        ((300, 100), "center", GREEN),
        ((300, 100), "left", RED),
        ((300, 100), "right", BLUE),
        ((300, 100), "top-right", BLUE),
        ((300, 100), "top", GREEN),
        ((100, 300), "top", RED),
        ((100, 300), "bottom", BLUE),
        ((100, 300), "bottom-left", BLUE),
        ((100, 300), "left", GREEN),
    ],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_cuts_out_the_part_that_is_asked_for_whatever_the_orientation(
    size: tuple[int, int], gravity: str, colour: tuple[int, int, int], orientation: int
) -> None:
    picture = thirds(size)
    inverse = {**UPRIGHT, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    if orientation in inverse:
        picture = picture.transpose(inverse[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    small = one(encoded(picture, exif=exif), width=50, height=50, gravity=gravity)
    for place in ((2, 2), (47, 2), (2, 47), (47, 47)):
        assert small.getpixel(place) == pytest.approx(colour, abs=2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_of_the_upright_picture_is_found_in_the_stored_one(orientation: int) -> None:
    upright = Image.new("L", (40, 30))
    upright.paste(255, (3, 4, 11, 20))
    inverse = {**UPRIGHT, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    turned = upright.transpose(inverse[orientation]) if orientation in inverse else upright
    assert stored((3, 4, 11, 20), (40, 30), orientation) == turned.getbbox()


def test_finds_the_part_with_the_most_to_show() -> None:
    picture = Image.new("RGB", (400, 100), "gray")
    with Image.open(PHOTOGRAPH) as photograph:
        picture.paste(photograph.resize((100, 100)), (290, 0))
    small = one(encoded(picture), width=100, height=100, gravity="entropy")
    expected = picture.crop((290, 0, 390, 100))
    assert abs(sum(small.convert("L").tobytes()) - sum(expected.convert("L").tobytes())) / 10_000 < 12
    assert small.convert("L").entropy() > 6


def test_a_background_fills_what_is_left_over() -> None:
    small = one(encoded(thirds()), width=60, height=60, fit="contain", background=(255, 255, 255, 255))
    assert small.size == (60, 60)
    assert (small.mode, small.getpixel((30, 2)), small.getpixel((30, 57)), small.getpixel((30, 30))) == (
        "RGB",
        WHITE,
        WHITE,
        GREEN,
    )
    low = one(encoded(thirds()), width=60, height=60, fit="contain", gravity="bottom", background=(0, 0, 0, 0))
    assert low.getpixel((30, 30)) == (0, 0, 0, 0)
    assert low.getpixel((30, 50)) == (*GREEN, 255)
    assert one(encoded(thirds()), width=60, height=60, fit="contain").size == (60, 20)


def test_a_background_shows_through_what_is_transparent() -> None:
    clear = encoded(Image.new("RGBA", (40, 40), (0, 0, 0, 0)))
    assert one(clear, width=20, background=(255, 0, 0, 255)).getpixel((5, 5)) == RED
    assert one(clear, width=20, format="jpeg").getpixel((5, 5)) == WHITE


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"width": 600}, (300, 100)),
        ({"height": 50}, (150, 50)),
        ({"width": 600, "height": 600, "fit": "contain"}, (300, 100)),
        ({"width": 600, "height": 50, "fit": "stretch"}, (300, 50)),
        ({"width": 200, "height": 200}, (200, 100)),
        ({"width": 600, "height": 600}, (300, 100)),
    ],
)
def test_enlarges_nothing_if_told_so(options: dict[str, Any], expected: tuple[int, int]) -> None:
    assert one(encoded(thirds()), enlarge=False, **options).size == expected


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif"])
def test_lowers_the_quality_until_the_file_is_small_enough(format: str) -> None:  # noqa: A002
    content = PHOTOGRAPH.read_bytes()
    whole = make(content, [Wanted(width=300, format=format)])[1][0]
    most = len(whole.content) * 2 // 3
    small = make(content, [Wanted(width=300, format=format, max_bytes=most)])[1][0]
    assert most * 0.8 < len(small.content) <= most
    assert small.quality is not None
    assert small.quality < 85
    with pytest.raises(PictureRefused, match="max_bytes: the picture is larger than 200 bytes"):
        make(content, [Wanted(width=300, format=format, max_bytes=200)])


def test_a_picture_of_a_palette_stays_small() -> None:
    with Image.open(PHOTOGRAPH) as photograph:
        drawing = photograph.convert("RGB").quantize(12)
    source = encoded(drawing, optimize=True)
    (small,) = make(source, [Wanted(width=drawing.width - 1, format="png")])[1]
    true_colour = make(encoded(drawing.convert("RGB")), [Wanted(width=drawing.width - 1, format="png")])[1][0]
    assert len(small.content) < len(true_colour.content) * 0.7


def test_what_is_opaque_in_a_picture_of_a_palette_stays_opaque() -> None:
    with Image.open(PHOTOGRAPH) as photograph:
        cut_out = photograph.convert("RGBA").resize((200, 200))
    canvas = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    canvas.paste(cut_out, (100, 100))
    source = encoded(canvas.quantize(256, Image.Quantize.FASTOCTREE))
    (small,) = make(source, [Wanted(width=200, format="png")])[1]
    with Image.open(io.BytesIO(small.content)) as opened:
        assert opened.mode == "P"
        alpha = opened.convert("RGBA").getchannel("A")
    assert alpha.crop((54, 54, 146, 146)).getextrema() == (255, 255)
    assert alpha.crop((0, 0, 46, 200)).getextrema() == (0, 0)


# Through the handler


@pytest.fixture
def source(files_folder: Path) -> str:
    (files_folder / "photo.jpg").write_bytes(PHOTOGRAPH.read_bytes())
    return "file:photo.jpg"


def test_several_sizes_are_made_of_one_source(run: Any, source: str) -> None:
    sizes = [{"width": 100}, {"width": 200, "format": "webp"}, {"width": 50, "height": 50, "fit": "contain"}]
    result = run("image_resize", {"url": source, "format": "png", "sizes": sizes})
    assert [(each["width"], each["height"], each["format"]) for each in result["pictures"]] == [
        (100, 117, "png"),
        (200, 234, "webp"),
        (43, 50, "png"),
    ]
    assert all(Path(each["path"]).stat().st_size == each["bytes"] for each in result["pictures"])
    assert (result["source_width"], result["source_height"]) == (512, 600)


def test_the_same_size_in_two_ways_is_two_files(run: Any, source: str) -> None:
    sizes = [{"width": 60, "height": 60}, {"width": 60, "height": 60, "gravity": "top"}]
    result = run("image_resize", {"url": source, "sizes": sizes})
    paths = [each["path"] for each in result["pictures"]]
    assert len(set(paths)) == 2
    assert Path(paths[0]).read_bytes() != Path(paths[1]).read_bytes()


def test_presets_are_options_by_name(run: Any, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    presets = '{"thumb": {"width": 40, "height": 40, "format": "webp"}, "wide": {"width": 300}}'
    monkeypatch.setenv("GOPHER_PICTURE_PRESETS", presets)
    result = run("image_resize", {"url": source, "preset": "thumb"})
    assert (result["width"], result["height"], result["format"]) == (40, 40, "webp")
    assert run("image_resize", {"url": source, "preset": "thumb", "format": "jpg"})["format"] == "jpeg"
    both = run("image_resize", {"url": source, "sizes": [{"preset": "thumb"}, {"preset": "wide"}]})
    assert [each["width"] for each in both["pictures"]] == [40, 300]
    with pytest.raises(Discard, match="preset 'thumbs' does not exist; there are thumb, wide"):
        run("image_resize", {"url": source, "preset": "thumbs"})


def test_presets_may_be_all_that_is_allowed(run: Any, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPHER_PICTURE_PRESETS", '{"thumb": {"width": 40}}')
    monkeypatch.setenv("GOPHER_PICTURE_PRESETS_ONLY", "1")
    assert run("image_resize", {"url": source, "preset": "thumb"})["width"] == 40
    for more in ({"width": 50}, {"preset": "thumb", "quality": 100}, {"sizes": [{"preset": "thumb", "width": 9}]}):
        with pytest.raises(Discard, match="only presets are allowed here"):
            run("image_resize", {"url": source, **more})


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"width": 10, "fit": "fill"}, (10, 12)),
        ({"width": 10, "height": 10, "fit": "fill"}, (10, 10)),
        ({"width": 10, "height": 10, "fit": "inside"}, (9, 10)),
        ({"width": 10, "height": 10, "keep_aspect": False}, (10, 10)),
        ({"width": 10, "height": 10, "gravity": "centre", "background": "white"}, (10, 10)),
    ],
)
def test_takes_the_words_of_other_programs(run: Any, source: str, payload: dict[str, Any], expected: Any) -> None:
    result = run("image_resize", {"url": source, **payload})
    assert (result["width"], result["height"]) == expected


@pytest.mark.parametrize(
    ("payload", "error", "details"),
    [
        ({"width": 10, "background": "chartreuseish"}, Discard, "background: 'chartreuseish' is not a colour"),
        ({"width": 10, "background": "#12345"}, InvalidJob, "/payload/background"),
        ({"width": 10, "format": "png", "max_bytes": 1000}, Discard, "max_bytes: png has no quality to lower"),
        ({"width": 10, "max_bytes": 10}, InvalidJob, "/payload/max_bytes"),
        ({"width": 10, "gravity": "north"}, InvalidJob, "/payload/gravity"),
        ({"sizes": [{"height": 0}]}, InvalidJob, r"/payload/sizes/0/height"),
        ({"sizes": [{"format": "png"}]}, InvalidJob, "width or height is required"),
    ],
)
def test_refuses_options_that_make_no_picture(
    run: Any, source: str, payload: dict[str, Any], error: type[Exception], details: str
) -> None:
    with pytest.raises(error, match=details):
        run("image_resize", {"url": source, **payload})


# Formats


@pytest.mark.parametrize("format", ["AVIF", "TIFF", "BMP", "MPO", "HEIF"])
def test_takes_what_telephones_and_scanners_make(format: str) -> None:  # noqa: A002
    if format == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    assert {one(encoded(thirds(), format), width=30).getpixel((15, 5))} <= {
        (0, g, b) for g in range(245, 256) for b in range(9)
    }


def test_names_a_format_that_it_does_not_take_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    with pytest.raises(
        PictureRefused, match=r"not a picture of a supported format \(JPEG XL\): convert it to one of JPEG"
    ):
        make(b"\xff\x0a" + bytes(40), [Wanted(width=10)])
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(PictureRefused, match="HEIC picture: install pillow-heif"):
        make(b"\0\0\0\x18ftypheic" + bytes(40), [Wanted(width=10)])


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_takes_a_truncated_file_only_if_told_so(format: str) -> None:  # noqa: A002
    with Image.open(PHOTOGRAPH) as photograph:
        whole = encoded(photograph, format)
    broken = whole[: len(whole) // 2]
    with pytest.raises(PictureRefused):
        make(broken, [Wanted(width=64)])
    (picture,) = make(broken, [Wanted(width=64, format="png")], tolerate_truncated=True)[1]
    with Image.open(io.BytesIO(picture.content)) as opened, Image.open(PHOTOGRAPH) as photograph:
        top = (0, 0, 64, 20)
        expected = photograph.resize(opened.size).crop(top).convert("L").tobytes()
        found = opened.convert("L").crop(top).tobytes()
        assert sum(abs(a - b) for a, b in zip(found, expected, strict=True)) / len(found) < 12
