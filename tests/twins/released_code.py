"""What the released code of SAS (peoplelu/SAS at 38764c2) and OpenScene (pengsongyou/openscene at 0f369bc)
computes, said once more in loops, so that what a setting calls theirs can be compared with it. Each function
names the lines that it restates; none is taken from there."""

from __future__ import annotations

import heapq
import math

import numpy as np
import torch
from torch.nn import functional


def nearest(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """openscene scripts/preprocess/scannet_sensordata.py:87, 98 and preprocess_2d_matterport.py:56, 65:
    cv2.resize with INTER_NEAREST, of which OpenCV says that pixel x comes from floor(x * scale)."""
    (width, height), (h, w) = size, image.shape[:2]
    rows = [
        [image[math.floor(v * h / height), math.floor(u * w / width)] for u in range(width)]
        for v in range(height)
    ]
    return np.array(rows)


def halved(image: np.ndarray) -> np.ndarray:
    """openscene scripts/preprocess/preprocess_2d_nuscenes.py:40: cv2.resize with its default INTER_LINEAR,
    from 1600x900 to 800x450. The place between four pixels is their middle."""
    rows = []
    for v in range(0, len(image), 2):
        row = []
        for u in range(0, image.shape[1], 2):
            four = image[v : v + 2, u : u + 2].reshape(4, -1).astype(int).sum(0)
            row.append([math.floor(total / 4 + 0.5) for total in four])
        rows.append(row)
    return np.array(rows, np.uint8)


def intrinsics(size: tuple[int, int]) -> np.ndarray:
    """SAS point_feat_extraction/lseg_feat/fusion_scannet.py:129-134 and 222-223, with make_intrinsic and
    adjust_intrinsic of lseg_feat/fusion_util.py:8-30: one camera at 640x480 for all scans."""
    across = math.floor(size[1] * 640 / 480)
    return np.array(
        [
            [577.870605 * across / 640, 0, 319.5 * (size[0] - 1) / 639],
            [0, 577.870605 * size[1] / 480, 239.5 * (size[1] - 1) / 479],
            [0, 0, 1],
        ]
    )


def features_of_points(
    xyz: np.ndarray,
    views: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    matrix: np.ndarray,
    tolerance: float,
    border: int,
) -> tuple[np.ndarray, np.ndarray]:
    """SAS point_feat_extraction/lseg_feat/fusion_scannet.py:81-117 with fusion_util.py:76-113; the same lines
    stand in seem_feat/fusion_scannet.py:77-118 and seem_feat/fusion_util.py:157-194. The points [N, 3] in the
    pixels of views (pose [4, 4], depth [H, W] in metres, feature [H, W, C]) of one camera `matrix`. Returns
    (mean feature f8[N, C], views of each point i8[N])."""
    total, count = np.zeros((len(xyz), views[0][2].shape[2])), np.zeros(len(xyz), int)
    for pose, depth, feature in views:
        height, width = depth.shape
        to_camera = np.linalg.inv(pose)
        for n, point in enumerate(xyz.astype(float)):
            x, y, z, _ = to_camera @ [*point, 1.0]
            column, row = (
                round(x * matrix[0, 0] / z + matrix[0, 2]),
                round(y * matrix[1, 1] / z + matrix[1, 2]),
            )
            inside = border <= column < width - border and border <= row < height - border
            if inside and abs(depth[row, column] - z) <= tolerance * depth[row, column]:
                total[n] += feature[row, column]
                count[n] += 1
    return total / np.maximum(count, 1e-5)[:, None], count


def sentences(adjectives: list[str], nouns: list[str]) -> list[str]:
    """SAS point_feat_extraction/seem_feat/fusion_util.py:65-96: of the adjective of a mask, or "", and the
    noun of a pixel in it. There a mask takes the adjective of the one after it, which fails for the last;
    here its own."""
    return [
        f"a {before} {noun} in a scene" if before else f"a {noun} in a scene"
        for before, noun in zip(adjectives, nouns, strict=True)
    ]


CLASSES = (  # SAS MCC/miou/cal_miou.py:53-55, in the order of its numbers
    "wall",
    "floor",
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "desk",
    "curtain",
    "refrigerator",
    "shower curtain",
    "toilet",
    "sink",
    "bathtub",
    "other",
    "ceiling",
)
OTHER = CLASSES.index("other")


def prompt(name: str) -> str:
    """SAS MCC/lseg_util/generate_text_embedding.py:8-9."""
    return "other" if name == "other" else f"a {name} in a scene"


def closest_text(feature: np.ndarray, text: np.ndarray) -> np.ndarray:
    """SAS MCC/lseg_util/lseg_infer.py:135-136 and MCC/seem_util/seem_infer.py:138-146: the text [K, C]
    of the largest product with each pixel [H, W, C]."""
    return np.array([[max(range(len(text)), key=lambda k: text[k] @ one) for one in row] for row in feature])


def capability(said: dict[str, np.ndarray], refined: dict[str, np.ndarray]) -> np.ndarray:
    """SAS MCC/miou/cal_miou.py:32-49 and 58-69, with MCC/lseg_util/lseg_infer.py:138-144: f8[21] of what a
    model says of the images of each class [m, H, W], as numbers of CLASSES, and of their masks b1[m, H, W]. A
    class is judged by its own images alone."""
    found = []
    for number, name in enumerate(CLASSES):
        if number == OTHER:
            found.append(0.0)
            continue
        both = either = 0
        for labels, mask in zip(said[name], refined[name], strict=True):
            for label, inside in zip(labels.ravel(), mask.ravel(), strict=True):
                both += bool(inside) and label == number
                either += bool(inside) or label == number
        found.append(both / either)
    return np.array(found)


def means(rows: torch.Tensor, owner: np.ndarray) -> dict[int, torch.Tensor]:
    """{owner: mean of the rows that are its}: scatter_mean in run/distill_sp.py:334-336 and 353-355."""
    places = {one: np.flatnonzero(owner == one) for one in np.unique(owner)}
    return {one: torch.stack([rows[i] for i in of]).mean(0) for one, of in places.items()}


def distillation(
    output: torch.Tensor, feature: torch.Tensor, owner: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """SAS run/distill_sp.py:332-364: the two losses of sampled voxels, with the network's features [n, C],
    the fused ones [n, C] and the superpoints i8[n]. The last two are those of the voxels' first points, and
    voxels without a feature are left out (dataset/feature_loader.py:140-160)."""
    target, answer = means(feature, owner), means(output, owner)

    def distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return 1 - functional.cosine_similarity(one[None], other[None])[0]

    point = torch.stack([distance(output[i], target[one]) for i, one in enumerate(owner)]).mean()
    return point, torch.stack([distance(answer[one], target[one]) for one in target]).mean()


def first_history(answer: torch.Tensor, superpoint: np.ndarray) -> torch.Tensor:
    """SAS run/distill_EMA.py:547-558: of features of points [N, C] the mean over the superpoint of each. That
    code keeps it in half precision, which is left out here."""
    mean = means(answer, superpoint)
    return torch.stack([mean[one] for one in superpoint])


def next_history(history: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
    """SAS run/distill_EMA.py:354-366, of features of points [N, C], again without half precision."""
    return 0.9999 * history + 0.0001 * answer


def ensembling(
    output: torch.Tensor, told: torch.Tensor, owner: np.ndarray, text: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """SAS run/distill_EMA.py:373-420: the two losses of sampled voxels, with the network's features [n, C],
    their history [n, C] and the superpoints i8[n]. text: [K, C]."""
    of_history, of_output = means(told, owner), means(output, owner)
    label = {one: int((mean @ text.T).argmax()) for one, mean in of_history.items()}
    point = functional.cross_entropy(output @ text.T, torch.tensor([label[one] for one in owner]))
    mean = torch.stack([of_output[one] for one in label])
    return point, functional.cross_entropy(mean @ text.T, torch.tensor(list(label.values())))


def attention(maps: dict[str, np.ndarray], name: str, size: int) -> np.ndarray:
    """SAS MCC/Stable_Diffusion/generate_any_class.py:154-164 and 223-279 for one image: the map in 0..1.

    maps: [steps, heads, pixels, tokens] of each layer, with the tokens of the word alone. Maps are upsampled
    with PyTorch's bicubic filter, whose weights are those of OpenCV's INTER_CUBIC."""

    def of(side: int) -> torch.Tensor:
        layers = [torch.from_numpy(m).mean(0) for m in maps.values() if m.shape[2] == side**2]
        together = torch.cat(layers).mean(0).T  # heads of all layers are one list
        return together.reshape(-1, side, side)

    total = torch.zeros(size, size)
    tokens = next(iter(maps.values())).shape[3]
    for token in range(tokens):

        def peaked(side: int, token: int = token) -> torch.Tensor:
            small = of(side)[None, token : token + 1]
            one = functional.interpolate(small, (size, size), mode="bicubic")[0, 0]
            return one / one.max()

        if name in ("sofa", "train", "tvmonitor"):
            total += peaked(8)
        elif name == "diningtable":
            total += peaked(16)
        else:
            total += (peaked(16) + peaked(32) + peaked(64)) / 3
    total = total / tokens
    total = total - total.min()
    return (total / total.max()).numpy()


def prompts(coarse: np.ndarray) -> list[list[int]]:
    """SAS MCC/sam_util/generate_mask.py:35-44 and select_prompt_dis.py:10-90: three points (row, column) of a
    square mask. The code knows those of 512 pixels alone; here the border may be that of another size."""
    side = len(coarse)
    inner = range(round(side * 70 / 512), side - round(side * 70 / 512))
    mask = {(r, c) for r, c in zip(*np.nonzero(coarse), strict=True) if r in inner and c in inner}
    if len(mask) < 10:
        assert side == 512
        mask |= {(r + i, c + j) for r in (240, 270) for c in (240, 270) for i in (0, 1) for j in (0, 1)}
    components: list[set[tuple[int, int]]] = [
        {p for p in _square(side) if p not in mask}
    ]  # the background is one
    # OpenCV finds a component at its first block of 2x2 pixels
    for start in sorted(mask, key=lambda p: (p[0] // 2, p[1] // 2)):
        if any(start in one for one in components):
            continue
        component, edge = set(), [start]
        while edge:
            r, c = edge.pop()
            if (r, c) in mask and (r, c) not in component:
                component.add((r, c))
                edge += [(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        components.append(component)
    if len(components) == 2:
        return _farthest(mask, 3, side)
    areas = [len(one) for one in components]
    largest = sorted(areas, reverse=True)
    if len(components) == 3:
        first, second = (components[areas.index(largest[n])] for n in (1, 2))
        return _farthest(first, 2, side) + _farthest(second, 1, side)
    return [point for n in (1, 2, 3) for point in _farthest(components[areas.index(largest[n])], 1, side)]


def _square(side: int) -> list[tuple[int, int]]:
    return [(r, c) for r in range(side) for c in range(side)]


def _farthest(component: set[tuple[int, int]], count: int, side: int) -> list[list[int]]:
    """cv2.distanceTransform(mask, DIST_L2, 5): OpenCV's documentation gives the lengths of its steps as 1,
    1.4 and 2.1969. Here ways are grown from the edge by Dijkstra's algorithm."""
    steps = [(i, j) for i in (-2, -1, 0, 1, 2) for j in (-2, -1, 0, 1, 2) if abs(i) + abs(j) in (1, 2, 3)]
    lengths = {(0, 1): 1.0, (1, 1): 1.4, (1, 2): 2.1969}
    moves = [
        (i, j, length)
        for i, j in steps
        if (length := lengths.get(tuple(sorted((abs(i), abs(j)))))) is not None
    ]
    chosen: list[list[int]] = []
    for _ in range(count):
        left = component - {tuple(point) for point in chosen}
        distance: dict[tuple[int, int], float] = {}
        heap = [
            (round(length * 65536), r, c)
            for r, c in left
            for i, j, length in moves
            if (r + i, c + j) not in left and 0 <= r + i < side and 0 <= c + j < side
        ]
        heapq.heapify(heap)
        while heap:
            so_far, r, c = heapq.heappop(heap)
            if (r, c) in distance:
                continue
            distance[r, c] = so_far
            for i, j, length in moves:
                if (r + i, c + j) in left and (r + i, c + j) not in distance:
                    heapq.heappush(heap, (so_far + round(length * 65536), r + i, c + j))
        chosen.append(list(max(sorted(left), key=lambda p: distance[p])))
    return chosen


def fused(
    lseg: np.ndarray, seem: np.ndarray, text: np.ndarray, capability: np.ndarray, other: int
) -> tuple[np.ndarray, np.ndarray]:
    """SAS feat_fusion/fusion_scannet.py:26-47 with MCC/miou/cal_miou.py:58-66, point by point: features of
    both models [N, C], of all classes with "other" the texts [K, C] and the capability [2, K], which is 0 for
    it. Returns (fused [N, C], weights [N, 2])."""
    features, weights = [], []
    for one, two in zip(lseg, seem, strict=True):
        a, b = int((text @ one).argmax()), int((text @ two).argmax())
        if a == other:
            features.append(one)
            weights.append([1.0, 0.0])
            continue
        score = [capability[m][a] + capability[m][b] for m in (0, 1)]
        share = [value / sum(score) for value in score]
        power = [math.exp(value / 0.05) for value in share]
        weights.append([value / sum(power) for value in power])
        features.append(weights[-1][0] * one + weights[-1][1] * two)
    return np.array(features), np.array(weights)
