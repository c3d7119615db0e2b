"""Ray casting of labelled meshes: images of colour, depth, class and instance, and the noise of a sensor."""

from dataclasses import dataclass, field

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from anyscene.arrays import F4, F8, I4, U1, U2, Array, Floats
from anyscene.scene import Camera

NO_LABEL = 255
# A pixel has four samples, and the disc of a lamp as many points, so that the edges of shadows are soft.
SUBPIXELS = np.array([(-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25)])
LAMP_POINTS = np.array([(-0.12, -0.05, 0), (0.05, -0.12, 0), (-0.05, 0.12, 0), (0.12, 0.05, 0)])


@dataclass(frozen=True)
class Mesh:
    """Labelled, textured triangles."""

    vertex: F4  # f4[V, 3], metres, z up
    face: I4  # i4[F, 3]
    uv: F4  # f4[F, 3, 2], texture coordinates of each corner; textures repeat outside 0..1
    texture: I4  # i4[F], rows of `textures`, -1 = none
    colour: U1  # u1[F, 3], by which the texture is multiplied
    label: U1  # u1[F], index of the class
    instance: U2  # u2[F], 0 = none
    textures: U1  # u1[T, S, S, 3]


@dataclass(frozen=True)
class Light:
    """A lamp that casts shadows, a fill like that of a window, which casts none, and ambient light.

    Strengths add up to about 1 for a surface that faces lamp and fill.
    """

    position: F8  # f8[3], of the lamp, metres
    fill: F8  # f8[3], of length 1, towards the fill
    lamp: float = 0.45  # strength
    fill_strength: float = 0.18
    ambient: float = 0.5  # strength
    tint: F8 = field(default_factory=lambda: np.ones(3))  # f8[3], the colour of all light


@dataclass(frozen=True)
class Rendered:
    """The images of one view."""

    rgb: U1  # u1[H, W, 3]
    depth: F4  # f4[H, W], metres along the optical axis, 0 = nothing
    label: U1  # u1[H, W], 255 = none
    instance: U2  # u2[H, W], 0 = none


class Renderer:
    """Casts rays into one mesh. Build it once, then render many frames."""

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        self.corner = mesh.vertex[mesh.face].astype(np.float32)  # [F, 3, 3]
        normal = np.cross(self.corner[:, 1] - self.corner[:, 0], self.corner[:, 2] - self.corner[:, 0])
        self.normal = (normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)).astype(
            np.float32
        )
        self._scene = EmbreeScene()
        TriangleMesh(self._scene, mesh.vertex.astype(np.float32), mesh.face.astype(np.int32))

    def cast(self, origin: Floats, direction: Floats) -> dict[str, Array]:  # f4 [R, 3] each
        """What each ray hits first: primID i4[R], the face (-1 = none); tfar f4[R], the distance in units of
        `direction`; u and v f4[R], the barycentric position."""
        hits: dict[str, Array] = self._scene.run(
            np.ascontiguousarray(origin, np.float32), np.ascontiguousarray(direction, np.float32), output=True
        )
        return hits

    def frame(self, camera: Camera, light: Light) -> Rendered:
        """The images of one view without noise. Each pixel has four samples.

        A pixel has the label and instance of its second-nearest sample. Its depth is the inverse of the mean
        of 1/z over the samples on the same instance, which is exact for planes.
        """
        height, width = camera.height, camera.width
        row, column = np.mgrid[:height, :width].astype(np.float64)
        pixel = np.stack([column, row, np.ones_like(row)], -1).reshape(-1, 1, 3)
        pixel = pixel + np.pad(SUBPIXELS, ((0, 0), (0, 1)))  # [P, 4, 3]
        rays = pixel.reshape(-1, 3) @ np.linalg.inv(camera.intrinsics).T  # z = 1, so that tfar is the depth
        direction = (rays @ camera.pose[:3, :3].T).astype(np.float32)
        origin = np.broadcast_to(camera.pose[:3, 3].astype(np.float32), direction.shape)
        hit = self.cast(origin, direction)
        face = hit["primID"].reshape(-1)
        met = face >= 0
        depth = np.where(met, hit["tfar"].reshape(-1), np.inf)

        rgb = np.zeros((len(face), 3), np.float32)
        which = np.flatnonzero(met)
        point = origin[which] + depth[which, None].astype(np.float32) * direction[which]
        lamp = light.position + LAMP_POINTS[which % 4]
        rgb[which] = self._shade(
            face[which], hit["u"][which], hit["v"][which], point, direction[which], lamp, light
        )

        samples = depth.reshape(-1, 4)
        order = np.argsort(samples, 1, kind="stable")
        chosen = np.arange(len(samples)) * 4 + order[:, 1]
        chosen_face = np.where(met[chosen], face[chosen], 0)
        seen = met[chosen]
        label = np.where(seen, self.mesh.label[chosen_face], NO_LABEL).astype(np.uint8)
        instance = np.where(seen, self.mesh.instance[chosen_face], 0).astype(np.uint16)
        grouped = np.where(met, self.mesh.instance[np.maximum(face, 0)], 0).reshape(-1, 4)
        near = samples[np.arange(len(samples)), order[:, 1]][:, None]
        with np.errstate(invalid="ignore"):
            same = (grouped == instance[:, None]) & (np.abs(samples - near) < 0.03 * near)
        inverse = np.where(same, 1 / samples, 0).sum(1) / np.maximum(same.sum(1), 1)
        final = np.where(seen, 1 / np.maximum(inverse, 1e-6), 0).astype(np.float32)
        return Rendered(
            rgb=(rgb.reshape(-1, 4, 3).mean(1) * 255)
            .round()
            .clip(0, 255)
            .astype(np.uint8)
            .reshape(height, width, 3),
            depth=final.reshape(height, width),
            label=label.reshape(height, width),
            instance=instance.reshape(height, width),
        )

    def _shade(
        self,
        face: I4,  # [R]
        u: F4,  # [R]
        v: F4,  # [R]
        point: F4,  # [R, 3]
        direction: F4,  # [R, 3]
        lamp: F8,  # [R, 3]
        light: Light,
    ) -> F4:
        """f4[R, 3] in 0..1: colours by two-sided Lambert shading of the textured colour."""
        albedo = self.albedo(face, u, v)
        normal = self.normal[face]
        normal = normal * -np.sign((normal * direction).sum(1, keepdims=True))
        to_lamp = (lamp - point).astype(np.float32)
        distance = np.linalg.norm(to_lamp, axis=1, keepdims=True)
        toward = to_lamp / np.maximum(distance, 1e-6)
        cosine = (toward * normal).sum(1).clip(0)
        lit = cosine > 0
        shadow = np.ones(len(face), np.float32)
        start = point[lit] + 2e-3 * normal[lit]
        blocked = self.cast(start, (lamp[lit] - start).astype(np.float32))
        shadow[lit] = ~((blocked["primID"] >= 0) & (blocked["tfar"] < 0.97))
        # The lamp falls off more slowly than 1/d^2: a room's walls send light back.
        direct = light.lamp * cosine * shadow * (2.6 / (1 + 0.3 * distance[:, 0] ** 2))
        fill = light.fill_strength * (0.5 + 0.5 * (normal @ light.fill.astype(np.float32)))
        sky = light.ambient * (0.86 + 0.14 * normal[:, 2])
        strength = (direct + fill + sky)[:, None] * light.tint.astype(np.float32)
        colour: F4 = np.minimum(albedo * strength, 1)
        return colour

    def albedo(self, face: I4, u: F4, v: F4) -> F4:  # [R] each
        """f4[R, 3] in 0..1: colours without light at barycentric positions of faces, by the nearest texel."""
        colour: F4 = np.divide(self.mesh.colour[face], np.float32(255))
        texture = self.mesh.texture[face]
        textured = np.flatnonzero(texture >= 0)
        if len(textured):
            size = self.mesh.textures.shape[1]
            corner = self.mesh.uv[face[textured]]
            a, b = u[textured, None], v[textured, None]
            uv = corner[:, 0] * (1 - a - b) + corner[:, 1] * a + corner[:, 2] * b
            texel = np.floor((uv - np.floor(uv)) * size).astype(np.int64).clip(0, size - 1)
            colour[textured] *= self.mesh.textures[
                texture[textured], size - 1 - texel[:, 1], texel[:, 0]
            ] / np.float32(255)
        return colour


def sensor_noise(rng: np.random.Generator, image: Rendered) -> Rendered:
    """What a hand-held depth camera makes of a clean frame. Labels and instances stay exact.

    Depth has Gaussian noise of (1.5 + 2.5 z^2) mm with z in metres, which grows with z^2 as for structured
    light (after Khoshelham & Elberink 2012). Readings are lost beyond 6 m, at grazing angles, and half of the
    time at edges of depth. Colour varies in gain, white balance and noise.
    """
    depth = image.depth
    height, width = depth.shape
    padded = np.pad(depth, 1, mode="edge")
    across = np.maximum(np.abs(padded[1:-1, 2:] - depth), np.abs(depth - padded[1:-1, :-2]))
    down = np.maximum(np.abs(padded[2:, 1:-1] - depth), np.abs(depth - padded[:-2, 1:-1]))
    jump = np.maximum(across, down) / np.maximum(depth, 0.1)
    noisy = depth + rng.normal(size=depth.shape) * (0.0015 + 0.0025 * depth**2)
    lost = (jump > 0.06) & (rng.random(depth.shape) < 0.5)
    lost |= (jump > 0.035) & (rng.random(depth.shape) < 0.2)
    # Lost readings come in patches, not in single pixels.
    coarse = rng.random((-(-height // 6), -(-width // 6)))
    lost |= np.kron(coarse, np.ones((6, 6)))[:height, :width] < 0.006
    lost |= (depth > 6) | (depth < 0.15)
    gain = 1 + rng.normal(0, 0.06)
    balance = 1 + rng.normal(0, 0.015, 3)
    rgb = image.rgb * (gain * balance) + rng.normal(0, 3.0, image.rgb.shape)
    return Rendered(
        rgb=rgb.round().clip(0, 255).astype(np.uint8),
        depth=np.where(lost, 0, noisy).astype(np.float32),
        label=image.label,
        instance=image.instance,
    )


def look_at(eye: F8, target: F8, roll: float = 0.0) -> F8:  # [3], [3]
    """f8[4, 4]: the camera-to-world pose (OpenCV axes) of a camera at `eye` that looks at `target`, with z
    up. roll: radians."""
    forward = np.asarray(target, float) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cosine, sine = np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, 0] = cosine * right + sine * down
    pose[:3, 1] = cosine * down - sine * right
    pose[:3, 2] = forward
    pose[:3, 3] = eye
    return pose
