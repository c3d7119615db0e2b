"""Write the images that 2D models are shown, for models that run elsewhere (docs/precomputed.md)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from anyscene.arrays import U1
from anyscene.cli.command import command
from anyscene.project import layout, outputs, parameters, store
from anyscene.segmenters.precomputed import image_index
from anyscene.show import picture_files


def main(
    out: Annotated[Path, typer.Option(help="folder of the images")] = image_index.INDEX.parent,
    params: Path = layout.PARAMETERS,
) -> None:
    """Write the frames of all scenes and the synthesised images as KEY.png, and index.csv, which says what is
    what. What is there already is not written again."""
    settings = parameters.load(params)
    outputs.check_folder(out)
    image_index.write(_images(out, settings), out / image_index.INDEX.name)


def _images(out: Path, settings: parameters.Params) -> Iterator[tuple[str, str, str, str]]:
    shown = settings.projection
    size = shown.width, shown.height
    for scene in store.scene_ids(layout.SCENES):
        path = store.scene_path(layout.SCENES, scene)
        state = image_index.state(store.key(path), shown)
        source = store.read_scene(path, Path(settings.dataset.root))
        for frame in source.frames:
            yield _write(frame.read_color(size, shown.resize), out), scene, frame.id, state
    for name in store.scene_ids(layout.SYNTHESIS) if layout.SYNTHESIS.is_dir() else ():
        path = store.scene_path(layout.SYNTHESIS, name)
        for number, image in enumerate(store.open_scene(path)["image"][:]):
            yield _write(image, out), f"synthesis/{name}", str(number), image_index.state(store.key(path))


def _write(image: U1, folder: Path) -> str:
    key = image_index.image_key(image)
    if not (folder / f"{key}.png").exists():
        picture_files.write(folder / f"{key}.png", image)
    return key


app = command(main)

if __name__ == "__main__":
    app()
