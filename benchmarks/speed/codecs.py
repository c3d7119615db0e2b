"""python -m benchmarks.speed.codecs: how well and how fast do codecs store features?

The answer goes to docs/notes/codecs.md. It needs data/scenes of `make demo`. Codecs run in one thread on
chunks of 1 MiB, as in the stores; times are medians of three runs.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numcodecs import BitRound, Blosc, PCodec, Zstd, blosc

from anyscene.fusion import fuse
from anyscene.lifting.projection import described_frames, project
from anyscene.project import layout, parameters, store
from anyscene.project.artefact import FEATURE_BITS
from anyscene.segmenters import load_segmenter
from anyscene.text import embeddings, load_text_encoder
from benchmarks.speed.against_peers import seconds
from stages.fusion import read_capability

OUTPUT = Path("docs/notes/codecs.md")
REPEATS = 3
CODECS = {
    "Blosc zstd 3, bitshuffle (chosen)": Blosc("zstd", 3, Blosc.BITSHUFFLE),
    "Blosc zstd 3, shuffle": Blosc("zstd", 3, Blosc.SHUFFLE),
    "Blosc zstd 9, bitshuffle": Blosc("zstd", 9, Blosc.BITSHUFFLE),
    "Blosc lz4 5, bitshuffle": Blosc("lz4", 5, Blosc.BITSHUFFLE),
    "Zstd 3": Zstd(3),
    "PCodec 8": PCodec(level=8),
}


def features(scene: str) -> dict[str, np.ndarray]:
    """The features f2[n, C] of each 2D model, and fused, as the stages have them before they store them."""
    params = parameters.load()
    encoder, settings = load_text_encoder(params.text), params.projection
    source = store.read_scene(store.scene_path(layout.SCENES, scene), Path(params.dataset.root))
    projected, size = [], (settings.width, settings.height)
    for model in params.segmenters.names:
        segmenter, batch = load_segmenter(model, params), params.segmenters.batch
        seen = described_frames(
            source.frames, segmenter, params.vocabulary, size, batch, resize=settings.resize
        )
        projected += project(
            source.xyz, seen, encoder.encode, tolerance=settings.tolerance, border=settings.border
        )
    feature, count = zip(*projected, strict=True)
    capability = np.array([read_capability(model, params.vocabulary) for model in params.segmenters.names])
    text = embeddings(encoder, params.vocabulary, params.text.template)
    fused = fuse(feature, [c > 0 for c in count], capability, text, tau=params.fusion.tau)
    arrays = dict(zip(params.segmenters.names, feature, strict=True)) | {"fused": fused.feature}
    return {name: np.asarray(array).astype(np.float16) for name, array in arrays.items()}


def rows(bits: int, array: np.ndarray) -> list[str]:
    """A line of the table for every codec. `array` is stored with so many bits of mantissa."""
    rounding = BitRound(bits)
    stored = rounding.decode(rounding.encode(array))
    a, b = array.astype(np.float64), stored.astype(np.float64)
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = ((a * b).sum(1)[length > 0] / length[length > 0]).min()
    step, megabytes = store.CHUNK_BYTES // (2 * array.shape[1]), array.nbytes / 1e6
    chunks = [np.ascontiguousarray(stored[i : i + step]) for i in range(0, len(stored), step)]
    lines = []
    for name, codec in CODECS.items():
        encoded = [codec.encode(chunk) for chunk in chunks]
        size = sum(map(len, encoded))
        encode = megabytes / median_seconds(codec.encode, chunks)
        decode = megabytes / median_seconds(codec.decode, encoded)
        lines.append(
            f"| {name} | {bits} | {size / 1e6:.1f} | {array.nbytes / size:.2f} | {encode:.0f} | {decode:.0f} "
            f"| {max(0, 1 - cosine):.0e} |"
        )
    return lines


def median_seconds(work: Callable, chunks: list) -> float:
    return float(np.median([seconds(lambda: [work(chunk) for chunk in chunks]) for _ in range(REPEATS)]))


def main() -> None:
    blosc.set_nthreads(1)
    scene = store.scene_ids(layout.SCENES)[0]
    lines = [
        "# Codecs of the feature stores",
        "",
        "`python -m benchmarks.speed.codecs` writes this page. It stores the features of the demo's scene",
        f"{scene} in half precision, with all 10 bits of mantissa or rounded to fewer (numcodecs'",
        "BitRound), with one thread and in chunks of 1 MiB. The error is the largest 1 - cosine between a",
        "point's feature and what is read back.",
        "",
        "If features vary from point to point (dense, fused), Blosc's zstd 3 with bitshuffle makes them",
        "small, and writes and reads them faster than disks do. Captions repeat, and plain zstd makes them",
        "smaller still.",
    ]
    for name, array in features(scene).items():
        lines += [
            "",
            f"## {name}: {array.shape[0]:,} points, {array.shape[1]} channels, {array.nbytes / 1e6:.1f} MB",
            "",
            "| codec | bits | MB | ratio | encode MB/s | decode MB/s | error |",
            "|---|---|---|---|---|---|---|",
            *rows(10, array),
            *rows(FEATURE_BITS, array),
        ]
    OUTPUT.write_text("\n".join(lines) + "\n")
    print(OUTPUT.read_text())


if __name__ == "__main__":
    main()
