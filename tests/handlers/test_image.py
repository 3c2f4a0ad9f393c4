"""Pictures resized from real ones: sizes, formats, orientation, colours, and files made to do harm."""

import io
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from PIL import Image, ImageDraw

from gopher.errors import Discard, InvalidJob
from gopher.handlers.pictures import PictureRefused
from gopher.handlers.pictures.geometry import UPRIGHT, cover_box, new_size
from gopher.jobs.job import Job, new_job_id
from gopher.outbound.fetching import FetchFailed
from tests.handlers.conftest import Recorder, Site

PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002
    target = io.BytesIO()
    picture.save(target, format, **options)
    return target.getvalue()


def quarters(size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Red top left, green top right, blue bottom left, white bottom right."""
    picture = Image.new("RGB", size, WHITE)
    draw = ImageDraw.Draw(picture)
    middle = (size[0] // 2, size[1] // 2)
    draw.rectangle((0, 0, middle[0] - 1, middle[1] - 1), RED)
    draw.rectangle((middle[0], 0, size[0], middle[1] - 1), GREEN)
    draw.rectangle((0, middle[1], middle[0] - 1, size[1]), BLUE)
    return picture


def corners(picture: Image.Image) -> list[Any]:
    """Return the colours near the corners, to the nearest of pure ones."""
    rgb = picture.convert("RGB")
    x, y = rgb.size[0] // 8, rgb.size[1] // 8
    points = [(x, y), (rgb.size[0] - x - 1, y), (x, rgb.size[1] - y - 1), (rgb.size[0] - x - 1, rgb.size[1] - y - 1)]
    return [tuple(255 if value > 127 else 0 for value in rgb.getpixel(point)) for point in points]


@pytest.fixture
def resize(run: Any, files_folder: Path) -> Any:
    """Resize bytes by way of a file; return the result and the picture on disk."""

    def resize(content: bytes, **options: Any) -> tuple[dict[str, Any], Image.Image]:
        (files_folder / "source").write_bytes(content)
        result = run("image_resize", {"url": "file:source", **options})
        with Image.open(result["path"]) as picture:
            picture.load()
            return result, picture

    return resize


@pytest.mark.parametrize("size", [(200, 100), (100, 200), (64, 64), (800, 600), (1, 1), (511, 599)])
def test_makes_a_photograph_exactly_as_large_as_asked(
    run: Any, allowed_site: Site, files_folder: Path, size: tuple[int, int]
) -> None:
    url = allowed_site.serve("/photo.jpg", PHOTOGRAPH.read_bytes(), Content_Type="image/jpeg")
    job = Job(id=new_job_id(), type="image_resize")
    result = run("image_resize", {"url": url, "width": size[0], "height": size[1]}, job)
    path = files_folder / "jobs" / job.id / f"{size[0]}x{size[1]}.jpg"
    assert result == {
        "file": path.name,
        "path": str(path),
        "width": size[0],
        "height": size[1],
        "bytes": path.stat().st_size,
        "format": "jpeg",
        "frames": 1,
        "quality": 85,
        "source_width": 512,
        "source_height": 600,
        "source_animated": False,
    }
    with Image.open(path) as picture:
        picture.load()
        assert (picture.size, picture.format, picture.mode) == (size, "JPEG", "RGB")


def test_reports_how_far_it_is(run: Any, files_folder: Path, recorder: Recorder) -> None:
    (files_folder / "photo.jpg").write_bytes(PHOTOGRAPH.read_bytes())
    job = Job(id=new_job_id(), type="image_resize", reporter=recorder)
    run("image_resize", {"url": "file:photo.jpg", "width": 20}, job)
    assert recorder.fractions == sorted(recorder.fractions)
    assert recorder.fractions[-1] == 1.0
    assert recorder.lines == [f"the source has {PHOTOGRAPH.stat().st_size} bytes"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"width": 200}, (200, 150)),
        ({"height": 60}, (80, 60)),
        ({"width": 200, "height": 200}, (200, 200)),
        ({"width": 200, "height": 200, "fit": "contain"}, (200, 150)),
        ({"width": 1000, "height": 200, "fit": "contain"}, (267, 200)),
        ({"width": 200, "height": 200, "keep_aspect": False}, (200, 200)),
        ({"width": 200, "keep_aspect": False}, (200, 150)),
        ({"width": 1}, (1, 1)),
    ],
)
def test_finds_the_size(resize: Any, options: dict[str, Any], expected: tuple[int, int]) -> None:
    result, picture = resize(encoded(quarters()), **options)
    assert picture.size == (result["width"], result["height"]) == expected


def test_covers_by_cutting_off_evenly_what_protrudes() -> None:
    assert cover_box((400, 300), (200, 200)) == (50, 0, 350, 300)
    assert cover_box((300, 400), (200, 200)) == (0, 50, 300, 350)
    assert cover_box((400, 300), (800, 600)) == (0, 0, 400, 300)
    assert new_size((1000, 1), 10, None, "cover") == (10, 1)


def test_keeps_a_circle_round_unless_told(resize: Any) -> None:
    circle = Image.new("L", (400, 300), 0)
    ImageDraw.Draw(circle).ellipse((150, 100, 250, 200), fill=255)

    def drawn(**options: Any) -> tuple[int, int]:
        _, picture = resize(encoded(circle), format="png", **options)
        left, top, right, bottom = picture.convert("L").point(lambda value: 255 * (value > 127)).getbbox()
        return right - left, bottom - top

    width, height = drawn(width=300, height=300)
    assert abs(width - height) <= 1
    width, height = drawn(width=300, height=300, keep_aspect=False)
    assert height > width * 1.25


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
def test_turns_a_picture_upright(resize: Any, source: str, orientation: int) -> None:
    """The same picture stored in each of the eight ways that EXIF knows."""
    stored = quarters((1600, 1200))
    inverse = {**UPRIGHT, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    if orientation in inverse:
        stored = stored.transpose(inverse[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    result, picture = resize(encoded(stored, source, exif=exif), width=200, height=150)
    assert corners(picture) == [RED, GREEN, BLUE, WHITE]
    assert (result["source_width"], result["source_height"]) == (1600, 1200)
    assert not picture.getexif()


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize(
    ("target", "extension"), [("jpeg", "jpg"), ("jpg", "jpg"), ("png", "png"), ("webp", "webp"), ("gif", "gif")]
)
def test_turns_each_format_into_each(resize: Any, source: str, target: str, extension: str) -> None:
    result, picture = resize(encoded(quarters(), source), width=80, height=60, format=target)
    assert picture.format == target.upper().replace("JPG", "JPEG")
    assert result["path"].endswith(f"/80x60.{extension}")
    assert result["format"] == target.replace("jpg", "jpeg")
    assert corners(picture) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "CMYK", "YCbCr"])
@pytest.mark.parametrize("target", ["jpeg", "png", "webp", "gif"])
def test_takes_pictures_of_every_mode(resize: Any, mode: str, target: str) -> None:
    source = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    grey = quarters().convert("L")
    picture = (
        grey.convert("I").point(lambda value: value * 257).convert(mode) if mode[0] == "I" else quarters().convert(mode)
    )
    if mode == "PA":
        picture = quarters().convert("RGBA").quantize()
    _, small = resize(encoded(picture, source), width=80, height=60, format=target)
    assert small.size == (80, 60)
    brightness = [small.convert("L").getpixel(point) for point in ((10, 10), (70, 10), (10, 50), (70, 50))]
    assert brightness[3] > 240, brightness
    assert brightness[2] < 70, brightness


def test_puts_what_is_transparent_on_white_for_jpeg(resize: Any) -> None:
    picture = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 50, 100))
    for source in (
        encoded(picture),
        encoded(picture.quantize(), "GIF", transparency=0),
        encoded(picture, "WEBP", lossless=True),
    ):
        _, small = resize(source, width=20, height=20)
        assert corners(small) == [BLUE, WHITE, BLUE, WHITE]


@pytest.mark.parametrize("target", ["png", "webp", "gif"])
def test_keeps_transparency_where_the_format_can(resize: Any, target: str) -> None:
    picture = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 50, 100))
    _, small = resize(encoded(picture), width=20, height=20, format=target)
    alpha = small.convert("RGBA").getchannel("A")
    assert (alpha.getpixel((3, 10)), alpha.getpixel((16, 10))) == (255, 0)


def test_takes_the_first_frame_of_an_animation(resize: Any) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, GREEN, BLUE)]
    for source in ("GIF", "WEBP"):
        _, small = resize(
            encoded(frames[0], source, save_all=True, append_images=frames[1:]), width=20, height=20, format="png"
        )
        assert corners(small) == [RED] * 4
        assert getattr(small, "n_frames", 1) == 1


def test_resizes_a_large_photograph_of_a_telephone(resize: Any) -> None:
    """Two pictures in one file, as telephones write them (MPO), 12 million pixels."""
    with Image.open(PHOTOGRAPH) as photograph:
        large = photograph.resize((4000, 3000))
    content = encoded(large, "MPO", save_all=True, append_images=[large.resize((40, 30))])
    began = time.process_time()
    result, picture = resize(content, width=400, height=300)
    assert picture.size == (400, 300)
    assert (result["source_width"], result["source_height"]) == (4000, 3000)
    assert time.process_time() - began < 3


def png(width: int, height: int, data: bytes = b"", extra: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif(width: int, height: int) -> bytes:
    start = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return start + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0;"


def webp(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    still = encoded(Image.new("RGB", (1, 1)), "WEBP")[12:]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + sizes + still
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg(width: int, height: int) -> bytes:
    content = bytearray(encoded(Image.new("L", (8, 8)), "JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


BOMBS = {
    "png": png(50_000, 50_000, zlib.compress(bytes(6251 * 5000))),
    "png just too large": png(8_001, 8_000),
    "gif": gif(65_535, 65_535),
    "webp": webp(16_383, 16_383),
    "jpeg": jpeg(65_000, 65_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_refuses_a_bomb_without_decoding_it(files_folder: Path, name: str) -> None:
    """In a process of its own, whose peak of memory tells whether it was decoded."""
    (files_folder / "bomb").write_bytes(BOMBS[name])
    code = (
        "import resource\n"
        "from tests.handlers.conftest import run_handler\n"
        "from gopher.handlers import pictures\n"
        "from gopher.errors import Discard\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    run_handler('image_resize', {'url': 'file:bomb', 'width': 10})\n"
        "except Discard as refusal:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, refusal)\n"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    grown, _, reason = output.partition(" ")
    assert "pixels" in reason
    assert int(grown) < 50_000, "KiB"


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_many_sizes_take_no_more_memory_than_one(files_folder: Path, format: str) -> None:  # noqa: A002
    (files_folder / "source").write_bytes(encoded(Image.new("RGB", (3000, 2000), GREEN), "PNG"))
    code = (
        "import re\n"
        "from tests.handlers.conftest import run_handler\n"
        # Not getrusage(): that starts with the peak of the process that has started this one.
        "def peak():\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "def grown(sizes):\n"
        "    before = peak()\n"
        f"    payload = {{'url': 'file:source', 'width': 3000, 'format': '{format}', 'sizes': sizes}}\n"
        "    assert len(run_handler('image_resize', payload)['pictures']) == len(sizes)\n"
        "    return peak() - before\n"
        "grown([{}])\n"
        "print(grown([{}] * 10))\n"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    # Each has 18 MB.
    assert int(output) < 60_000, "KiB"


def test_refuses_a_new_picture_that_would_be_a_bomb(resize: Any) -> None:
    with pytest.raises(
        PictureRefused, match="the new picture would have 10000 x 10000 pixels, more than the 25,000,000"
    ):
        resize(encoded(quarters()), width=10_000, height=10_000)
    with pytest.raises(PictureRefused, match="the new picture would have"):
        resize(encoded(Image.new("L", (1, 1000))), width=10_000)


def test_does_not_count_the_frames_of_an_animation(resize: Any) -> None:
    """20,000 frames: only the first is looked at."""
    one = encoded(Image.new("1", (8, 8)), "GIF")
    frame = one[one.index(b",") : -1]
    began = time.process_time()
    _, picture = resize(one[:-1] + frame * 20_000 + b";", width=8)
    assert picture.size == (8, 8)
    assert time.process_time() - began < 2


def test_refuses_a_text_chunk_that_unpacks_to_too_much(resize: Any) -> None:
    text = b"zTXt" + b"Comment\0\0" + zlib.compress(bytes(100_000_000))
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    row = zlib.compress(b"\0\0" * 8)
    try:
        resize(png(8, 8, row, chunk), width=8)
    except PictureRefused as refusal:
        assert "text" in str(refusal).lower()  # noqa: PT017 - that it is ignored is well too


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"><image href="file:///etc/passwd"/></svg>'


@pytest.mark.parametrize(
    "content",
    [
        SVG,
        b"push graphic-context\nfill 'url(https://example.com/image.jpg\"|ls \"-la)'\npop graphic-context",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n(%pipe%id) (w) file\n",
        encoded(quarters(), "ICO"),
        b"",
        b"<html>not found</html>",
        bytes(1000),
    ],
    ids=["svg", "mvg", "eps", "ico", "nothing", "html", "zeros"],
)
def test_refuses_a_source_of_an_unsupported_format(resize: Any, content: bytes) -> None:
    with pytest.raises(PictureRefused, match="not a picture of a supported format"):
        resize(content, width=10)


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "GIF"])
def test_takes_a_broken_file_as_final(resize: Any, source: str) -> None:
    noise = Image.effect_noise((300, 300), 80)
    whole = encoded(noise, source)
    for broken in (whole[: len(whole) // 2], whole[:40]):
        with pytest.raises(PictureRefused):
            resize(broken, width=10)


def test_never_fails_but_by_refusing_whatever_the_bytes(resize: Any) -> None:
    """One byte wrong at each of many places."""
    for source in ("JPEG", "PNG", "WEBP", "GIF"):
        whole = encoded(quarters((60, 40)), source)
        for place in range(0, min(len(whole), 400), 3):
            damaged = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
            try:
                resize(damaged, width=10, height=10)
            except PictureRefused:
                pass


def test_refuses_a_private_address_a_404_and_a_traversal_permanently(
    run: Any, allowed_site: Site, files_folder: Path
) -> None:
    for url in (
        "http://169.254.169.254/a.jpg",
        allowed_site.url("/none.jpg"),
        "file:../secret.txt",
        "file:/etc/passwd",
    ):
        with pytest.raises(Discard):
            run("image_resize", {"url": url, "width": 10})
    assert list(files_folder.iterdir()) == []


def test_stops_fetching_at_the_deadline_of_the_job(run: Any, files_folder: Path, allowed_site: Site) -> None:
    job = Job(id=new_job_id(), type="image_resize", deadline=time.time() - 1)
    with pytest.raises(FetchFailed, match="longer than"):
        run("image_resize", {"url": allowed_site.url("/"), "width": 10}, job)


def test_writes_what_two_children_do_at_once_without_mixing(run: Any, files_folder: Path) -> None:
    (files_folder / "photo.jpg").write_bytes(PHOTOGRAPH.read_bytes())
    job_id = new_job_id()
    results: list[dict[str, Any]] = []

    def work() -> None:
        results.append(run("image_resize", {"url": "file:photo.jpg", "width": 50}, Job(id=job_id, type="image_resize")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({result["path"] for result in results}) == 1
    with Image.open(results[0]["path"]) as picture:
        picture.load()
    assert [entry.name for entry in Path(results[0]["path"]).parent.iterdir()] == ["50x59.jpg"]


@pytest.mark.parametrize(
    ("payload", "details"),
    [
        ({"width": 10}, "/payload/url: is required"),
        ({"url": "file:a"}, "width or height is required"),
        ({"url": "file:a", "width": 0}, "/payload/width"),
        ({"url": "file:a", "width": 10_001}, "/payload/width"),
        ({"url": "file:a", "width": "10"}, "/payload/width"),
        ({"url": "file:a", "width": 10, "format": "bmp"}, "/payload/format"),
        ({"url": "file:a", "width": 10, "quality": 101}, "/payload/quality"),
        ({"url": "file:a", "width": 10, "heigth": 10}, "/payload/heigth"),
        ({"url": "gopher://a/", "width": 10}, "url must be http"),
        ({"url": "http://a/\r\nX: y", "width": 10}, "url must be http"),
        ({"url": "http://" + "a" * 2048, "width": 10}, "/payload/url"),
    ],
)
def test_refuses_a_payload_that_asks_for_no_picture(run: Any, payload: dict[str, Any], details: str) -> None:
    with pytest.raises(InvalidJob, match=details):
        run("image_resize", payload)
