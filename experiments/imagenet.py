"""SAGAN on ImageNet 128x128, by the recipe that was released.

Paper: Zhang et al. 2018, arXiv:1805.08318: IS 52.52, FID 18.65 after 1M steps
on 4 GPUs. Code: github.com/brain-research/self-attention-gan (below: SAG),
which has the attention at 32x32, the paper's FID 18.28 variant; for the
headline numbers' variant see imagenet_attn64.py.

  python -m sagan_jax.main --config=experiments/imagenet.py --workdir=DIR

This is the base of the other experiments: all keys are here. The time and the
scores of this implementation are not yet measured.
"""

from ml_collections import ConfigDict, FieldReference
from ml_collections.config_dict import placeholder


def get_config():
  """Returns the config; None (a placeholder) means off or automatic."""
  c = ConfigDict()

  c.seed = 0  # Of weights, latents, labels and the order of the data.
  c.architecture = 'sagan'  # Of both networks: a key of models.NETWORKS.
  c.image_size = 128  # Pixels a side: 32, 64, 128 or 256.
  c.num_classes = placeholder(int)  # None: as the data set; 1: no labels.
  c.num_classes = 1000
  c.batch_size = 256  # Images an update, over all devices (SAG: 4 x 64).
  c.num_steps = 1_000_000  # Updates of the generator (paper, figure 3).
  c.n_dis = 1  # Updates of the discriminator per step (paper, section 4.2).
  c.num_microbatches = 1  # Parts a batch passes in, to save memory.
  c.num_devices = placeholder(int)  # None: all there are.
  c.loss = 'hinge'  # Or logistic, least_squares (paper, section 3: hinge).
  c.dtype = 'float32'  # Of activations: float32 or bfloat16.
  # Of gradients while devices add them up; None: as dtype.
  c.gradient_dtype = placeholder(str)
  c.latent_dim = 128  # Of z ~ N(0, I) (SAG model.py).
  # Of the same numbers: auto (by platform) or a form of models/resample.py.
  c.resample = 'auto'
  c.spectral_gradient = 'constant'  # Or full, as in SAG; see spectral.py.
  c.attention_formula = 'code'  # Or paper; see models/attention.py.
  c.initializer = 'glorot_uniform'  # Or orthogonal, normal (SAG ops.py).
  c.horizontal_flip = False  # Mirror half of the real images (SAG: no).

  c.generator = ConfigDict()
  c.generator.ch = 64  # Width unit (SAG: gf_dim).
  c.generator.attention = (32,)  # Resolutions with self-attention (SAG).
  c.generator.residual = ()  # Resolutions with the ablation's control block.
  # Resolutions whose blocks are computed again for the backward pass, to save
  # memory: the largest hold the most. The numbers stay.
  c.generator.remat = ()
  # Images per batch-norm group; None: the whole batch. SAG: a GPU's 64.
  c.generator.bn_group_size = 64
  c.generator.bn_decay = 0.999  # Of running moments, per step (SAG ops.py).
  c.generator.bn_eps = 1e-5  # Added to variances (SAG ops.py).

  c.discriminator = ConfigDict()
  c.discriminator.ch = 64  # Width unit (SAG: df_dim).
  c.discriminator.attention = (32,)  # Resolutions with self-attention (SAG).
  c.discriminator.residual = ()  # As for the generator.
  c.discriminator.remat = ()  # As for the generator.

  c.optim = ConfigDict()
  c.optim.generator = ConfigDict()
  c.optim.generator.learning_rate = 1e-4  # Paper, section 4.2: two rates.
  c.optim.generator.b1 = 0.0  # Paper, section 4.2.
  c.optim.generator.b2 = 0.999  # SAG, by TensorFlow's default; paper: 0.9.
  c.optim.generator.eps = 1e-8  # TensorFlow's default.
  c.optim.discriminator = ConfigDict()
  c.optim.discriminator.learning_rate = 4e-4
  c.optim.discriminator.b1 = 0.0
  c.optim.discriminator.b2 = 0.999
  c.optim.discriminator.eps = 1e-8

  # Average of G's parameters and running moments, beside the raw ones.
  c.ema = ConfigDict()
  c.ema.decay = 0.9999  # Per step (BigGAN-PyTorch launch_SAGAN script).
  c.ema.start_step = 2000  # Until then a copy (the same script).

  c.init = ConfigDict()  # What a new run begins with.
  # None: as drawn from the seed. Else what sagan_jax.export has written, or the
  # directory of a run, whose last checkpoint it is then.
  c.init.weights = placeholder(str)
  # Where the classes are others, their rows of batch norm and of the projection
  # are fresh; those of the nearest names; or the mean of all.
  c.init.classes = 'fresh'

  c.dataset = ConfigDict()
  # shapes, array:DIR, folder:DIR, cifar10_binary:DIR or tfds:NAME.
  c.dataset.name = 'tfds:imagenet2012'
  c.dataset.data_dir = placeholder(str)  # Of TFDS, a path or gs:// URL.
  c.dataset.split = 'train'  # As the data set names it, e.g. 'train[:90%]'.
  c.dataset.num_examples = placeholder(int)  # Of shapes only; None: 20,000.
  # TFDS only: encoded examples held to shuffle among; None: 10,000.
  c.dataset.shuffle_buffer = placeholder(int)
  # What to do about losses and gradients that are not finite. stop: with exit
  # code 2. skip: leave out the update, on the device. rollback: go back to the
  # last checkpoint and draw data and latents anew from there.
  c.on_nonfinite = 'stop'
  c.max_nonfinite = 10  # skip: steps in a row; rollback: times in all.
  # What to do when the log shows that the training has failed: its images
  # become the same, nothing is learnt any more, the score has doubled. warn, or
  # stop: the state is saved, the exit code is 2. Lesser trouble is only told.
  c.on_collapse = 'warn'
  # Folders only: files that may be left out as they cannot be decoded, which all
  # are at the start to find out; they are listed. None: 0.
  c.dataset.max_bad_images = placeholder(int)
  c.prefetch = 4  # Batches made ready in advance.
  c.stall_secs = 60  # Without a batch, after which the data is named, in lines.

  c.log = ConfigDict()
  c.log.every_steps = 100  # A row of metrics.jsonl, a line of progress.
  # Event files: True, False, or auto: where clu and tensorflow are installed.
  c.log.tensorboard = FieldReference('auto', field_type=object)

  c.sample = ConfigDict()  # Grids of fixed latents: rows are classes.
  c.sample.every_steps = 5000
  c.sample.images_per_class = 8
  c.sample.max_classes = 16  # Evenly spaced among all classes.
  c.sample.standing_batches = 8  # That batch norm is recomputed over.

  c.checkpoint = ConfigDict()
  c.checkpoint.every_steps = 2000  # As many are lost, at most, to a kill -9.
  c.checkpoint.keep_last = 3  # Of these, how many stay.
  c.checkpoint.keep_every_steps = 50_000  # These stay; None: only the last.
  # How long a run trains on while its disk is full and nothing can be saved,
  # in seconds; 0: it ends at once. Several processes end at once.
  c.checkpoint.full_disk_secs = 1800

  c.eval = ConfigDict()  # The protocol of the scores, and when they are made.
  c.eval.every_steps = placeholder(int)  # None: only by sagan_jax.evaluate.
  c.eval.max_time_share = 0.05  # Of a run; evaluations beyond it are skipped.
  # Metric whose best checkpoint is kept, e.g. fid; None: fid of the extractor.
  c.eval.best_metric = placeholder(str)
  # inception, random (a fixed small network), or auto: inception if its file is
  # at inception_path or in cache_dir, else random.
  c.eval.extractor = 'auto'
  c.eval.inception_path = placeholder(str)  # None: in cache_dir, or download.
  c.eval.dtype = 'float32'  # Of the extractor; published scores are float32.
  # fid, is, kid, prdc (precision, recall, density, coverage), sfid, intra_fid.
  c.eval.metrics = ('fid', 'is', 'kid')
  c.eval.num_fakes = 50_000  # Images (paper, section 5).
  c.eval.num_reals = placeholder(int)  # Images; None: all of the split.
  c.eval.labels = 'uniform'  # Of fakes: uniform, or as frequent as in the data.
  c.eval.seed = 0  # Of the fakes' latents.
  c.eval.batch_size = 100  # Images (SAG eval_imagenet.py).
  c.eval.weights = ('ema',)  # ema, raw or both.
  # Of batch norm: standing (recomputed), running, batch, or several.
  c.eval.bn_statistics = ('standing',)
  c.eval.standing_batches = 16  # Of batch_size, that standing moments are of.
  c.eval.truncations = ()  # Of latents, besides none: deviations, e.g. (0.5,).
  c.eval.cache_dir = '~/.cache/sagan_jax'  # References, Inception weights.

  return c
