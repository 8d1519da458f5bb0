"""Texts of the reports. The fields in braces are those of :func:`.report.report_text`."""

SEARCH = """\
## What was searched

Short trainings with seed {first_seed}, judged on the `search` split.

{search_table}

"""

QUICKSTART = (
    """\
# Quickstart: three losses on digit scenes

Mean over the seeds, in brackets the range; percent, on {num_samples} scenes of the `validation` split.
Groups by the share of training scenes that show the class:

{groups}

{table}

Parameters are those in training: the projector of GPaCo is not used at inference, where all three
run the same network. Training is the time of the iterations alone.

{measured_on}

![Scenes and predictions](predictions.png)

![IoU of each class against its training frequency](iou_by_frequency.png)

![Loss and mIoU during training](curves.png)

"""  # noqa: E501
    + SEARCH
    + """\
## What this does and does not show

- Every method had the same iterations, seeds and learning rates to choose from; GPaCo also chose
  its loss weight and thereby had more tries. The search trainings are short, so a setting that
  pays off late is not found. Settings were chosen on the `search` split; the numbers above are of
  the `validation` split, which chose nothing.
- Scenes, model and iterations were set by looking at the cross-entropy baseline alone.
- A difference smaller than the spread over seeds means nothing, and so few seeds show the spread
  only roughly.
- A step of one method takes longer than a step of another; the time column shows it, and at equal
  time the slower one would have had fewer iterations.
- The papers train pretrained backbones of 10 to 100 times the size, sample 8192 pixels per image
  and take 100 times the iterations. This demo neither supports nor refutes their figures.

The commands of each training are the first lines of `command-*.log` in its folder.
"""
)

QUICKSTART_CLS = (
    """\
# Classification quickstart: long-tailed digits

Mean over the seeds, in brackets the range; accuracy in percent, on {num_samples} images of the balanced
`validation` split. Training images of the digits 0 to 9: {frequencies}.
Many: zero to two, medium: three to five, few: six to nine.

{table}

Parameters are those in training: the projector of GPaCo is not used at inference, where all run
the same network. Training is the time of the iterations alone.

{measured_on}

![Accuracy of each digit against its training images](accuracy_by_frequency.png)

![Loss and accuracy during training](curves.png)

"""  # noqa: E501
    + SEARCH
    + """\
## What this does and does not show

- Balanced Softmax is the row to compare GPaCo with: both train with the log class prior, and the
  contrast with other images is all that GPaCo adds. Against CE alone every method with the prior
  looks good.
- What acts is alpha times the number of positives of an anchor, and ten classes have many: `auto`
  sets this product to {alpha_target:g} for the most frequent digit. .05 is the published
  value for 1000 classes; here its product is about ten, which holds the frequent digits back in
  favour of the rare ones.
- Every method had the same two views of each image, iterations, seeds and learning rates to choose
  from. The search trainings are short, so a setting that pays off late is not found. Settings were
  chosen on the `search` split; the numbers above are of the `validation` split, which chose
  nothing. The log prior at test uses the trainings of CE as they are.
- Data, model and iterations were set by looking at the cross-entropy baseline alone.
- A difference smaller than the spread over seeds means nothing, and three seeds show the spread
  only roughly; the seeds share one choice of images.
- Training times compare only where the machine does nothing else.
- The papers train networks of 100 times the size on 1000 and more classes for 400 epochs with
  strong augmentation. This demo neither supports nor refutes their figures.

The commands of each training are the first lines of `command-*.log` in its folder.
"""
)

COMPARISON = """\
# Comparison {suite}

Mean and standard deviation over the seeds {seeds}; percent, on {num_samples} images of the `validation`
split, which chose nothing.

{table}

Training is the time of the iterations, with those of the system that the weights start from; peak
memory the resident memory of the process, PyTorch included (at its largest over the seeds and
these trainings);
parameters are those in training, most of them of the network that all systems share.

{measured_on}

![By class frequency](by_frequency.png)

![Loss and {metric} during training](curves.png)

## What was searched

Short trainings of {search_iters} iterations with seed {first_seed}, judged on the `search` split;
a system that does not train tests the weights of the one it starts from. All other settings are
those of the configs.

{search_table}

## What differs all the same

"""  # noqa: E501

CAUTION = """

Differences smaller than the deviation mean nothing, and a few seeds show it only roughly. Small
networks from scratch on digits neither support nor refute published figures.
"""

SEG_DIFFERENCES = (
    """\
- Systems that add a loss have four candidates (two rates, two weights), the others two.
- Candidates are ranked after 200 of the 1000 iterations, at which a loss that pays late looks
  worse than it is."""
    + CAUTION
)

CLS_DIFFERENCES = (
    """\
- cRT and LWS train 300 further iterations, on top of the 300 of CE; their first stage had its rate
  chosen by itself.
- Images per step, all from batches of 32: two views of each, 64, for most systems; PaCo passes one
  view through each of its two networks; Hybrid-SC has a class-balanced image beside two views, 96;
  Hybrid-PSC one beside one view, 64; BCL and ProCo have three views, 96; cRT and LWS have one view
  of class-balanced images, 32. LIFT is not among them: it wants a pretrained vision transformer.
- tau-normalisation tries nine strengths and the log prior four, without a training; all others try
  two rates, ranked after 100 of the 300 iterations."""
    + CAUTION
)

PIXEL_OPTIONS = """\
# Options of the pixel loss on the demo data

One option at a time on top of the GPaCo config of the quickstart (learning rate .01, `loss_weight`
.1, what its search chooses there), 600 iterations; mean over the seeds {seeds} and the range in
percent, on {num_samples} scenes of the `validation` split. No option was searched, so a row shows its
effect at these settings, not its best use.

{table}

{measured_on}
"""  # noqa: E501

ALPHA_SCALE = """\
# The scale of alpha

Long-tailed sets of 10 digits and of 30 and 100 classes of two digits side by side; mean and standard
deviation over the seeds {seeds}, percent. `alpha |P|` is the product of alpha and the expected
positives of the most frequent class.

{table}

{measured_on}
"""  # noqa: E501
