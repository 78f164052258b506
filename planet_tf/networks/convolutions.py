"""Convolutions with stride 2, valid padding, and gradients of their own.

What oneDNN is slow at on a CPU is computed as products or in blocks of pixels;
what each brings is in WORKSPACE_NOTES.md ("What was tried"). Tensors may be
bfloat16; sums over rows are made in float32 all the same.

Shape letters: B batch, C channels, n and k sizes of images and kernels.
"""

import tensorflow as tf


@tf.custom_gradient
def bias_add(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Adds a bias [C] to [B, n, n, C], which may be bfloat16.

    The gradient is its own: TensorFlow's sums in the type of x, and takes
    several times as long.
    """

    def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return dy, _sum_of_rows(dy)

    return tf.nn.bias_add(x, tf.cast(bias, x.dtype)), gradient


def _sum_of_rows(x: tf.Tensor) -> tf.Tensor:
    """The sum [C] of [B, n, n, C], in float32 but for rounding to x's type."""
    n, C = x.shape[-2:]
    # As a product, which adds up in float32 whatever x is, of rows of n * C: a
    # few channels alone would leave most of a vector unit idle.
    x = tf.reshape(x, [-1, n * C])
    ones = tf.ones([1, tf.shape(x)[0]], x.dtype)
    columns = tf.cast(tf.matmul(ones, x), tf.float32)
    return tf.reduce_sum(tf.reshape(columns, [n, C]), 0)


def conv(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Valid convolution, stride 2: [B, n, n, in] and [k, k, in, out]."""
    size = (x.shape[1] - kernel.shape[0]) // 2 + 1
    if size <= 2:
        return _block_conv(x, kernel)

    @tf.custom_gradient
    def own(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            dx = tf.nn.conv2d_transpose(dy, kernel, tf.shape(x), 2, "VALID")
            return dx, _kernel_gradient(x, dy, kernel)

        return tf.nn.conv2d(x, kernel, 2, "VALID"), gradient

    return own(x, kernel)


@tf.custom_gradient
def _block_conv(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`conv` as products, for few windows of many channels.

    oneDNN takes about twice as long, gradients included. Pixels are taken in
    blocks of 2x2, so that windows are two blocks wide, one apart.

    Args:
        x: [B, 2 n + 2, 2 n + 2, in].
        kernel: [4, 4, in, out].

    Returns:
        [B, n, n, out].
    """
    inputs, outputs = kernel.shape[2:]
    n = x.shape[1] // 2 - 1
    spots = [(i, j) for i in range(n) for j in range(n)]
    halves = [(i, j) for i in range(2) for j in range(2)]
    blocks = tf.nn.space_to_depth(x, 2)
    # [2, 2, 2, 2, in, out]: block and pixel, each down and right.
    parts = tf.reshape(kernel, [2, 2, 2, 2, inputs, outputs])
    parts = tf.transpose(parts, [0, 2, 1, 3, 4, 5])
    flat = tf.reshape(parts, [-1, outputs])
    windows = [
        tf.reshape(blocks[:, i : i + 2, j : j + 2], [-1, flat.shape[0]])
        for i, j in spots
    ]
    y = tf.stack([tf.matmul(window, flat) for window in windows], 1)

    def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = tf.reshape(dy, [-1, outputs])
        dparts = [
            tf.matmul(
                tf.reshape(blocks[:, i : i + n, j : j + n], [-1, 4 * inputs]),
                rows,
                transpose_a=True,
            )
            for i, j in halves
        ]
        dkernel = tf.reshape(tf.stack(dparts), parts.shape)
        dkernel = tf.transpose(dkernel, [0, 2, 1, 3, 4, 5])
        # Each block is in one, two or four windows.
        dblocks = []
        for i in range(n + 1):
            for j in range(n + 1):
                seen = [(p, q) for p, q in halves if (i - p, j - q) in spots]
                dblocks.append(
                    tf.matmul(
                        tf.concat([dy[:, i - p, j - q] for p, q in seen], 1),
                        tf.concat(
                            [
                                tf.reshape(parts[p, q], [-1, outputs])
                                for p, q in seen
                            ],
                            1,
                        ),
                        transpose_b=True,
                    )
                )
        dblocks = tf.reshape(tf.stack(dblocks, 1), tf.shape(blocks))
        return (
            tf.nn.depth_to_space(dblocks, 2),
            tf.reshape(dkernel, kernel.shape),
        )

    return tf.reshape(y, [-1, n, n, outputs]), gradient


def deconv(
    x: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Variable | tf.Tensor,
    dtype: tf.DType | None = None,
) -> tf.Tensor:
    """Valid transposed convolution, stride 2: size n -> 2 (n - 1) + k.

    With an even k, pixels are computed in blocks of 2x2 as channels of a
    transposed convolution with stride 1: oneDNN does so faster, above all
    where there are three channels.

    Args:
        x: [B, n, n, in].
        kernel: [k, k, out, in], of x's type.
        bias: [out], float32.
        dtype: Of what is returned; x's by default.
    """
    k, outputs, inputs = kernel.shape[1:]
    parts = 1 if k % 2 else 2
    k, stride = k // parts, 2 // parts  # In blocks.
    size = stride * (x.shape[1] - 1) + k

    @tf.custom_gradient
    def own(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        blocks = tf.reshape(kernel, [k, parts, k, parts, outputs, inputs])
        blocks = tf.transpose(blocks, [0, 2, 1, 3, 4, 5])
        blocks = tf.reshape(blocks, [k, k, -1, inputs])
        shape = [tf.shape(x)[0], size, size, parts**2 * outputs]
        y = tf.nn.conv2d_transpose(x, blocks, shape, stride, "VALID")

        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, ...]:
            dy = tf.cast(dy, x.dtype)
            dx = tf.nn.conv2d(dy, kernel, 2, "VALID")
            return dx, _kernel_gradient(dy, x, kernel), _sum_of_rows(dy)

        return _add_bias_to_blocks(y, bias, dtype or x.dtype), gradient

    # A custom gradient takes tensors: it would not reach variables.
    return own(x, kernel, tf.convert_to_tensor(bias))


@tf.function(jit_compile=True)
def _add_bias_to_blocks(
    x: tf.Tensor, bias: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """Adds in float32, and makes pixels of blocks, in one pass.

    Args:
        x: [B, n, n, parts^2 * out], parts being 1 or 2.
        bias: [out].
        dtype: Of what is returned.

    Returns:
        [B, parts * n, parts * n, out].
    """
    count = x.shape[-1] // bias.shape[0]
    x = tf.cast(x, tf.float32) + tf.tile(bias, [count])
    x = tf.cast(x, dtype)
    return x if count == 1 else tf.nn.depth_to_space(x, 2)


def _kernel_gradient(
    x: tf.Tensor, dy: tf.Tensor, kernel: tf.Tensor
) -> tf.Tensor:
    """The kernel's gradient of a valid convolution with stride 2.

    Args:
        x: [B, size, size, in], what is convolved.
        dy: [B, n, n, out], gradient of what comes out.
        kernel: [k, k, in, out].

    Returns:
        Of the kernel's shape and type.
    """
    # oneDNN's, on a CPU, is slow for small images of many channels.
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and dy.shape[1] <= 6 and x.shape[-1] >= 64:
        return _row_products(x, dy, kernel)
    return tf.raw_ops.Conv2DBackpropFilter(
        input=x,
        filter_sizes=kernel.shape,
        out_backprop=dy,
        strides=[1, 2, 2, 1],
        padding="VALID",
    )


def _row_products(x: tf.Tensor, dy: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`_kernel_gradient`: a product for each spot of kernel and row of dy.

    With the batch behind the place in the image, and even columns apart from
    odd ones, the pixels that a row of dy meets at a spot lie together: nothing
    is copied for a product. They are added up in float32.
    """
    k, n = kernel.shape[0], dy.shape[1]
    B, (size, inputs) = tf.shape(x)[0], x.shape[2:]
    half = (size + 1) // 2
    x = tf.pad(x, [[0, 0], [0, 0], [0, size % 2], [0, 0]])
    x = tf.reshape(x, [B, size, half, 2, inputs])
    x = tf.reshape(tf.transpose(x, [1, 3, 2, 0, 4]), [-1, inputs])
    dy = tf.reshape(tf.transpose(dy, [1, 2, 0, 3]), [n, n * B, dy.shape[3]])
    spots = []
    for i in range(k):
        for j in range(k):
            products = []
            for row in range(n):
                start = ((2 * row + i) * 2 + j % 2) * half + j // 2
                seen = x[start * B : (start + n) * B]
                product = tf.matmul(seen, dy[row], transpose_a=True)
                products.append(tf.cast(product, tf.float32))
            spots.append(tf.add_n(products))
    return tf.cast(tf.reshape(tf.stack(spots), kernel.shape), kernel.dtype)
