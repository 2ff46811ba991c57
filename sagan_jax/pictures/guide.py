"""How to read the curves of a training: a short text for newcomers.

The figures are of the config `quickstart` (drawn shapes at 32x32, hinge loss,
2,500 steps), medians of ten logged rows, and of smaller runs that were made to
fail. `verdicts` finds the same signs in the rows of a run.
"""

SECTIONS = [
  (
    'What healthy curves look like',
    [
      'A GAN has no loss that falls to zero. The discriminator (D) learns to '
      'tell real images from generated ones, the generator (G) learns to '
      'deceive it, and each makes the task of the other harder. The losses say '
      'who is ahead, not how good the images are: for that look at the sample '
      'grids and at the score.',
      "With the hinge loss D's loss is 2 while it cannot tell the images apart, "
      'and 0 when it is sure of all of them. In the quickstart it is at 1.9 '
      'after 100 steps, 1.3 after 500, and stays between 0.8 and 1.1 from step '
      '800 on, noisy from row to row. D then takes 7 to 9 of 10 real images for '
      'real and 9 of 10 generated ones for generated. The logit gap, by how '
      'much real images score above generated ones, grows from 0.1 to 2 and '
      'then hardly more.',
      'The score (fid_random) falls fast, then slowly, with setbacks of up to '
      '27 %: 3.1 at step 200, 1.46 at step 1,000, 1.85 at step 1,200, and 1.09 '
      'at the end. One bad evaluation is noise; two in a row that are half again '
      'as bad as the best are not.',
    ],
  ),
  (
    'The discriminator is ahead',
    [
      "D's loss stays near zero, both accuracies are at 100 %, and the logit "
      'gap grows (beyond 7 in our forced runs, within 50 steps). Sample grids '
      'stay noise or stop changing: G hears only that all is wrong, and not '
      'what would be better.',
      'Try: half of optim.discriminator.learning_rate, or twice '
      'optim.generator.learning_rate; n_dis=1. If it comes late in a training '
      'with few images, D has learnt them by heart: horizontal_flip=True, or '
      'more data.',
    ],
  ),
  (
    'Collapse',
    [
      'All images of a class become the same, whatever their latents. The '
      'curve sample/diversity tells by how much two images of a class differ, '
      'in grey levels of 255: about 100 in the quickstart and 70 to 95 in '
      'smaller healthy runs; where we forced a collapse it was 20 after 50 '
      'steps and 7 in the end. In the losses a collapse can show as a G that is '
      'ahead, with fake logits above real ones, or not at all; even the score '
      'may go on falling for a while. In large models it comes after long good '
      'training: the score jumps, and training does not recover.',
      'Try: half of optim.generator.learning_rate, n_dis=2, or a larger '
      'batch_size. Start again, or from before: remove the later checkpoints of '
      'the run, and name the keys that you change in --allow_changes. The best '
      'state that was scored is kept.',
      'If no number changes at all any more, the networks are dead: that is '
      'what learning rates 100 times too large do within 100 steps. Start again '
      'with a tenth of both.',
    ],
  ),
  (
    'A gate that stays near zero, or turns negative',
    [
      'Attention is added to its input times a gate, which begins at zero: the '
      'block does nothing at first, and the network decides how much of it to '
      'use. In the quickstart the gates come to about -0.6 (G) and +0.4 (D).',
      'Its sign has no meaning: what the gate multiplies is a projection that '
      'can take the other sign just as well. Only the size counts.',
      'A gate that is still within 0.01 of zero after 10,000 steps means that '
      'the block is not used. That is no fault, but the attention costs time '
      'for nothing: try it at another resolution (generator.attention=32), or '
      'train without it (generator.attention=()) and compare the scores.',
    ],
  ),
  (
    'Sigma grows',
    [
      'Sigma is the largest singular value of the weights before spectral '
      "normalisation. G's grows in every training, from 2 to 8 in the "
      "quickstart; D's stays about 2 there. Slow growth is harmless, as the "
      'weights are divided by it, though it makes steps smaller.',
      'When it doubles within a quarter of the steps, or jumps, a collapse '
      'often follows. Try: half of the learning rate of that network, from a '
      'checkpoint before it.',
    ],
  ),
]
