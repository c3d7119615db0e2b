"""A small SavedModel with the inputs and answers of OpenSeg's. It needs TensorFlow."""

import numpy as np
import tensorflow as tf

SIDE, WIDTH = 64, 768  # of its square, and of its features


class Small(tf.Module):
    """Scales an image until it fits the square, as OpenSeg does, and multiplies its colours."""

    def __init__(self):
        super().__init__()
        random = np.random.default_rng(0)
        self.weight = tf.Variable(random.normal(size=(3, WIDTH)).astype(np.float32))

    @tf.function(
        input_signature=[
            tf.TensorSpec([], tf.string, "inp_image_bytes"),
            tf.TensorSpec([None, 1, WIDTH], tf.float32, "inp_text_emb"),
        ]
    )
    def answer(self, inp_image_bytes, inp_text_emb):
        image = tf.io.decode_image(inp_image_bytes, 3, expand_animations=False)
        size = tf.cast(tf.shape(image)[:2], tf.float32)
        scale = SIDE / tf.reduce_max(size)
        inner = tf.image.resize(image, tf.cast(size * scale, tf.int32))
        height, width = tf.shape(inner)[0], tf.shape(inner)[1]
        square = tf.pad(inner, [[0, SIDE - height], [0, SIDE - width], [0, 0]], constant_values=-1.0)
        feature = tf.tensordot(square / 255, self.weight, 1)[None]
        info = tf.stack([size, [SIDE, SIDE], [scale, scale], [0.0, 0.0]])
        return {
            "ppixel_ave_feat": feature,
            "image_embedding_feat": feature + tf.reduce_sum(inp_text_emb),
            "image_info": info,
        }


def write(folder):
    """The SavedModel in `folder`."""
    module = Small()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.answer})
    return folder


class Reaching(tf.Module):
    """Reads a file beside what it computes."""

    def __init__(self, file):
        super().__init__()
        self.file = str(file)

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, "inp_image_bytes")])
    def answer(self, inp_image_bytes):
        tf.io.write_file(self.file, inp_image_bytes)
        return {"ppixel_ave_feat": tf.zeros([1])}


def write_reaching(folder, file):
    """A SavedModel that writes `file`."""
    module = Reaching(file)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.answer})
    return folder
