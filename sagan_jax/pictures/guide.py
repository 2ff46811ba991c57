"""How to read a report. Stand-in: another one is to take its place."""

SECTIONS = [
  (
    'Healthy curves',
    ['Losses that neither drift nor jump, and gates that leave zero.'],
  ),
  (
    'The discriminator is ahead',
    [
      'Its accuracy stays near 1 for real images and for fakes.',
      'Lower its learning rate.',
    ],
  ),
]
