"""The network of `groundglass bench` in TensorFlow, as the other side of compare.py.

  python -m venv V && V/bin/pip install tensorflow
  V/bin/python bench/compare.py --groundglass target/release/groundglass --torch-script bench/tensorflow_unet.py

NHWC and `tf.function`, TensorFlow's fastest layout and mode on a CPU; bf16 by the policy `mixed_bfloat16`. One half per process
(--only), so that peak memory is its own. Prints one JSON line.
"""
import argparse, json, os, resource, statistics, time

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("--mode", choices=["fp32", "bf16"], default="fp32")
a.add_argument("--threads", type=int, default=2)
a.add_argument("--repeats", type=int, default=12)
a.add_argument("--base", type=int, default=32)
a.add_argument("--only", choices=["train", "predict"])
a = a.parse_args()
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(a.threads)
tf.config.threading.set_inter_op_parallelism_threads(1)
tf.keras.utils.set_random_seed(0)
if a.mode == "bf16":
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
L = tf.keras.layers


def block(x, c):
    for _ in range(2):
        x = L.Conv2D(c, 3, padding="same", use_bias=False)(x)
        x = L.ReLU()(L.BatchNormalization(epsilon=1e-3)(x))
    return x


def unet(side):
    x = image = L.Input((side, side, 1))
    skips = []
    for level in range(5):
        x = block(x, a.base << level)
        if level < 4:
            skips.append(x)
            x = L.MaxPool2D()(x)
    for level in reversed(range(4)):
        x = L.Conv2DTranspose(a.base << level, 2, 2)(x)
        x = block(L.Concatenate()([skips[level], x]), a.base << level)
    return tf.keras.Model(image, L.Activation("sigmoid", dtype="float32")(L.Conv2D(1, 1)(x)))


def median_ms(f, warm=3):
    for _ in range(warm):
        f()
    times = []
    for _ in range(a.repeats):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return round(1000 * statistics.median(times), 1)


train_ms = slice_ms = None
if a.only != "predict":
    net, adam = unet(128), tf.keras.optimizers.Adam(1e-3)
    adam.build(net.trainable_variables)
    x = tf.random.uniform((8, 128, 128, 1))
    y = tf.cast(tf.random.uniform((8, 128, 128, 1)) > 0.7, tf.float32)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            p = net(x, training=True)
            bce = tf.reduce_mean(tf.keras.losses.binary_crossentropy(y, p))
            dice = (2 * tf.reduce_sum(p * y) + 1) / (tf.reduce_sum(p) + tf.reduce_sum(y) + 1)
            loss = bce + 1 - dice
        adam.apply_gradients(zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables))
        return loss

    train_ms = median_ms(lambda: step().numpy())
if a.only != "train":
    net, z = unet(256), tf.random.uniform((2, 256, 256, 1))
    predict = tf.function(lambda z: net(z, training=False))
    slice_ms = round(median_ms(lambda: predict(z).numpy()) / 2, 1)
print(json.dumps(dict(engine=f"tensorflow {tf.__version__}", mode=a.mode, threads=a.threads, train_step_ms=train_ms,
                      predict_slice_ms=slice_ms, peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)))
